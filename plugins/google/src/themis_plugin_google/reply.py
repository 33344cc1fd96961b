"""Reads replies of Gemini. No I/O."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from themis_core import HANDED_BACK, WARNING, Generation, Usage
from themis_http import billed, count, ending_of_answer, invalid, names_of, plain_objects, status_of, warning_of
from themis_plugin_google.wire import MADE_UP_ID

__all__ = ["read_gemini", "read_usage"]

LONGEST_PROVIDER_TEXT: Final = 200
SERVER_SIDE: Final = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
"""Parts of tools that the provider runs itself: no part of the answer, and wanted again in the next turn."""


def read_usage(data: Any) -> Usage | None:
    """The token counts of a body. Cached tokens are part of the prompt's; thoughts come on top of the candidates'."""
    usage = data.get("usageMetadata") if isinstance(data, dict) else None
    prompt, said = count(usage, "promptTokenCount"), count(usage, "candidatesTokenCount")
    thought, total = count(usage, "thoughtsTokenCount"), count(usage, "totalTokenCount")
    if prompt is None and said is None and total is None:
        return None
    taken = None if prompt is None else prompt + (count(usage, "toolUsePromptTokenCount") or 0)
    given = None if said is None else said + (thought or 0)
    if given is None and taken is not None and total is not None:  # nothing was said, or nothing but thoughts
        given = max(total - taken, thought or 0)
    if taken is None and given is not None and total is not None:
        taken = max(total - given, 0)
    return Usage(taken, given, thought, count(usage, "cachedContentTokenCount"))


def read_gemini(data: dict[str, Any], latency_s: float | None = None) -> Generation:
    """Turn a reply, which took so long, into a generation. Raises EngineError."""
    with billed(data, read_usage):
        blocked = _blocked(data)
        return _answer(data, latency_s) if blocked is None else _refused(data, blocked, latency_s)


def _blocked(data: dict[str, Any]) -> str | None:
    """Why the prompt was not answered at all."""
    feedback = data.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return reason[:LONGEST_PROVIDER_TEXT] if isinstance(reason, str) and reason and not data.get("candidates") else None


def _refused(data: dict[str, Any], reason: str, latency_s: float | None) -> Generation:
    message = data["promptFeedback"].get("blockReasonMessage")
    return Generation(
        "refused",
        refusal=message if isinstance(message, str) and message else None,
        finish_reason=reason,
        usage=read_usage(data) or Usage(),
        latency_s=latency_s,
        provider=_provider(data) | {"prompt_blocked": reason} | _rated(data["promptFeedback"]),
    )


def _answer(data: dict[str, Any], latency_s: float | None) -> Generation:
    first, *others = _candidates(data)
    reason = first.get("finishReason")
    reason = reason[:LONGEST_PROVIDER_TEXT] if isinstance(reason, str) and reason.strip() else None
    ending = ending_of_answer(reason)
    parts = _parts(first)
    text = _said(parts, thoughts=False)
    tool_calls = _tool_calls(parts)
    message = first.get("finishMessage")
    refusal = message if ending == "filtered" and isinstance(message, str) and message else None
    status = status_of(text, ending, refusal, tool_calls)
    warnings = _beside_tokens(first) | _unknown_parts(parts) | warning_of(reason, ending, status)
    provider = _provider(data) | _rated(first) | warnings
    if handed_back := _handed_back(parts):
        provider[HANDED_BACK] = {"parts": handed_back}
    if isinstance(message, str) and message and refusal is None:
        provider["finish_message"] = message[:LONGEST_PROVIDER_TEXT]
    return Generation(
        status=status,
        text=text,
        reasoning=_said(parts, thoughts=True) or None,
        refusal=refusal,
        finish_reason=reason,
        usage=read_usage(data) or Usage(),
        latency_s=latency_s,
        alternatives=tuple(_said(_parts(each), thoughts=False) for each in others),
        tool_calls=tool_calls,
        logprobs=_logprobs(first),
        provider=provider,
    )


def _candidates(data: dict[str, Any]) -> list[dict[str, Any]]:
    candidates = data.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        raise invalid(f"the reply has no candidates, and does not say that the prompt was blocked{names_of(data)}")
    if not all(isinstance(each, dict) for each in candidates):
        raise invalid("a candidate is not an object")
    if len(candidates) > 1 and all(isinstance(each.get("index"), int) for each in candidates):
        return sorted(candidates, key=lambda each: each["index"])
    return candidates


def _parts(candidate: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    content = candidate.get("content") or {}  # absent where nothing was said
    if not isinstance(content, dict):
        raise invalid("the content of a candidate is not an object")
    return plain_objects(content.get("parts"), "parts")


def _said(parts: tuple[dict[str, Any], ...], *, thoughts: bool) -> str:
    texts = [each["text"] for each in parts if "text" in each and bool(each.get("thought")) is thoughts]
    if not all(isinstance(each, str) for each in texts):
        raise invalid("a part's text is no text")
    return ("\n\n" if thoughts else "").join(texts)


def _tool_calls(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    calls = [each["functionCall"] for each in parts if "functionCall" in each]
    made = []
    for at, call in enumerate(calls, 1):
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise invalid("a functionCall has no name")
        function = {"name": call["name"], "arguments": json.dumps(call.get("args") or {}, ensure_ascii=False)}
        call_id = call.get("id")
        given = call_id if isinstance(call_id, str) and call_id else f"{MADE_UP_ID}{at}"
        made.append({"id": given, "type": "function", "function": function})
    return tuple(made)


def _handed_back(parts: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """The parts that are wanted again, if there are any that a message of the history would not have anyhow."""
    kept = [each for each in parts if not each.get("thought") or "thoughtSignature" in each]
    plain = all(each.keys() <= {"text", "functionCall"} for each in kept)
    return [] if plain else kept


def _unknown_parts(parts: tuple[dict[str, Any], ...]) -> dict[str, str]:
    known = {"text", "functionCall", "thought", "thoughtSignature", *SERVER_SIDE}
    unknown = sorted({name[:40] for each in parts for name in each.keys() - known if not each.keys() & known})
    shown = ", ".join("".join(filter(str.isprintable, each)) for each in unknown)
    return {WARNING: f"answers have parts that are not known and count as nothing: {shown}"} if unknown else {}


def _beside_tokens(candidate: dict[str, Any]) -> dict[str, str]:
    grounding = candidate.get("groundingMetadata")
    if not isinstance(grounding, dict) or not grounding.get("webSearchQueries"):
        return {}
    return {WARNING: "the provider may bill its web searches beside tokens, and no cost here holds them"}


def _rated(source: dict[str, Any]) -> dict[str, Any]:
    """The categories of harm for which something was blocked."""
    ratings = source.get("safetyRatings")
    blocked = [
        str(each.get("category"))[:60]
        for each in (ratings if isinstance(ratings, list) else ())
        if isinstance(each, dict) and each.get("blocked") is True
    ]
    return {"blocked_for": blocked[:20]} if blocked else {}


def _provider(data: dict[str, Any]) -> dict[str, Any]:
    names = {"responseId": "id", "modelVersion": "model"}
    return {
        name: value[:LONGEST_PROVIDER_TEXT]
        for sent, name in names.items()
        if isinstance(value := data.get(sent), str) and value
    }


def _logprobs(candidate: dict[str, Any]) -> tuple[dict[str, Any], ...] | None:
    """One dict per token, or None if there are none, or none that can be read: the answer is good without them."""
    result = candidate.get("logprobsResult")
    try:
        chosen = result["chosenCandidates"] if isinstance(result, dict) else ()
        tops = result.get("topCandidates") or [{}] * len(chosen) if isinstance(result, dict) else ()
        return (
            tuple(
                _token(each) | {"top_logprobs": [_token(other) for other in top.get("candidates") or ()]}
                for each, top in zip(chosen, tops, strict=True)
            )
            or None
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _token(given: dict[str, Any]) -> dict[str, Any]:
    number = given.get("logProbability")
    known = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    if not isinstance(given["token"], str):
        raise TypeError
    return {"token": given["token"], "logprob": float(number) if known and number is not None else None}
