"""Reads replies: the JSON of a 200 becomes a generation, or an EngineError `invalid_reply`.

No I/O. Text of a server's own making gets into no error message here unless it went through `Redaction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

from themis_core import HANDED_BACK, Generation, Usage
from themis_http import (
    Ending,
    billed,
    ending_of_answer,
    finish_reason,
    invalid,
    names_of,
    plain_objects,
    status_of,
    warning_of,
)
from themis_plugin_openai.usage import read_usage

__all__ = ["provider_of", "read_chat", "read_completion", "tokens_of"]

LONGEST_PROVIDER_TEXT = 200


def read_chat(
    data: dict[str, Any],
    latency_s: float | None = None,
    reasoning_tag: str | None = None,
    hand_back: Collection[str] = (),
) -> Generation:
    """Turn a chat completion, which took so long, into a generation.

    Text in the tag at its beginning is reasoning. Fields of the message that are to be handed back are kept.
    """
    with billed(data, read_usage):
        return _chat(data, latency_s, reasoning_tag, hand_back)


def _chat(data: dict[str, Any], latency_s: float | None, tag: str | None, hand_back: Collection[str]) -> Generation:
    first, *others = _choices(data)
    finish = finish_reason(first)
    ending = ending_of_answer(finish)
    message = _message(first, ending)
    text, reasoning, refusal = _said(message, tag)
    tool_calls = plain_objects(message.get("tool_calls"), "tool_calls")
    usage = read_usage(data)
    nothing = message.get("content") is None and not (tool_calls or refusal or reasoning or "function_call" in message)
    if nothing and usage is None and ending in ("whole", "unknown"):
        raise invalid("the message has no content")
    status = status_of(text, ending, refusal, tool_calls)
    return Generation(
        status=status,
        text=text,
        reasoning=reasoning,
        refusal=refusal,
        finish_reason=finish,
        usage=usage or Usage(),
        latency_s=latency_s,
        alternatives=tuple(_said(_message(each, ending_of_answer(finish_reason(each))), tag)[0] for each in others),
        tool_calls=tool_calls,
        logprobs=tokens_of(first.get("logprobs")),
        provider=provider_of(data) | _handed_back(message, hand_back) | warning_of(finish, ending, status),
    )


def _handed_back(message: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    kept = {name: message[name] for name in names if message.get(name) is not None}
    return {HANDED_BACK: plain_objects([kept], "what is to be handed back")[0]} if kept else {}


def read_completion(data: dict[str, Any], latency_s: float | None = None) -> Generation:
    """Turn a text completion, which took so long, into a generation."""
    with billed(data, read_usage):
        return _completion(data, latency_s)


def _completion(data: dict[str, Any], latency_s: float | None) -> Generation:
    choices = _choices(data)
    text, *alternatives = [_choice_text(each) for each in choices]
    finish = finish_reason(choices[0])
    ending = ending_of_answer(finish)
    status = status_of(text, ending)
    return Generation(
        status=status,
        text=text,
        finish_reason=finish,
        usage=read_usage(data) or Usage(),
        latency_s=latency_s,
        alternatives=tuple(alternatives),
        logprobs=tokens_of(choices[0].get("logprobs"), _completion_logprobs),
        provider=provider_of(data) | warning_of(finish, ending, status),
    )


def _choices(data: dict[str, Any]) -> list[dict[str, Any]]:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise invalid(f"the reply has no choices{names_of(data)}")
    if not all(isinstance(each, dict) for each in choices):
        raise invalid("a choice is not an object")
    if len(choices) > 1 and all(isinstance(each.get("index"), int) for each in choices):
        choices = sorted(choices, key=lambda each: each["index"])
    return choices


def _choice_text(choice: dict[str, Any]) -> str:
    text = choice.get("text")
    if not isinstance(text, str):
        raise invalid(f"a choice has no text{names_of(choice)}")
    return text


def _message(choice: dict[str, Any], ending: Ending) -> dict[str, Any]:
    message = choice.get("message")
    if message is None and ending in ("cut", "filtered"):  # nothing was left of the answer
        return {}
    if not isinstance(message, dict):
        raise invalid(f"a choice has no message{names_of(choice)}")
    return message


def _said(message: dict[str, Any], tag: str | None = None) -> tuple[str, str | None, str | None]:
    """Text, reasoning and refusal of one message."""
    content = message.get("content")
    text, reasoning, refusal = "", "", ""
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):
        text, reasoning, refusal = _parts(content)
    elif content is not None:
        raise invalid("the content is neither text nor a list of parts")
    if tag is not None:
        inline, text = _tagged(text, tag)
        reasoning += inline
    reasoning += _optional_text(message, "reasoning_content") or _optional_text(message, "reasoning")
    refusal += _optional_text(message, "refusal")
    return text, reasoning or None, refusal or None


def _tagged(text: str, tag: str) -> tuple[str, str]:
    """Reasoning in a tag at the beginning of a text, and the rest. The opening tag may be missing, as where the prompt
    ends with it; of what is never closed all is reasoning."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    opened = text.lstrip().startswith(opening)
    inside, found, rest = text.partition(closing)
    if not (opened or found):
        return "", text
    inside = inside.lstrip().removeprefix(opening)
    return inside.strip(), rest.lstrip()


def _parts(parts: Iterable[Any]) -> tuple[str, str, str]:
    said: dict[str, str] = {"text": "", "reasoning": "", "refusal": ""}
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "output_text"):
            said["text"] += _part_text(part.get("text"))
        elif kind in ("reasoning", "thinking"):
            said["reasoning"] += _part_text(part.get(kind, part.get("text")))
        elif kind == "refusal":
            said["refusal"] += _part_text(part.get("refusal"))
        else:
            raise invalid("the content has a part that is neither text, reasoning nor refusal")
    return said["text"], said["reasoning"], said["refusal"]


def _part_text(value: Any) -> str:
    # Some servers nest reasoning once more, as a list of text parts.
    if isinstance(value, list):
        value = "".join(_part_text(each.get("text")) if isinstance(each, dict) else "" for each in value)
    if not isinstance(value, str):
        raise invalid("a part of the content has no text")
    return value


def _optional_text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    return value if isinstance(value, str) else ""


def provider_of(data: dict[str, Any]) -> dict[str, Any]:
    """What else is kept of a reply: its id, and which model it is of."""
    names = ("id", "model", "system_fingerprint")
    return {name: value[:LONGEST_PROVIDER_TEXT] for name in names if isinstance(value := data.get(name), str)}


def _chat_logprobs(given: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for entry in given["content"]:
        others = [_token(each["token"], each["logprob"]) for each in entry.get("top_logprobs") or ()]
        yield _token(entry["token"], entry["logprob"]) | {"top_logprobs": others}


def tokens_of(
    given: Any, read: Callable[[dict[str, Any]], Iterable[dict[str, Any]]] = _chat_logprobs
) -> tuple[dict[str, Any], ...] | None:
    """One dict per token, or None if there are none, or none that can be read: the answer is good without them."""
    if not isinstance(given, dict):
        return None
    try:
        return tuple(read(given)) or None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _completion_logprobs(given: dict[str, Any]) -> Iterable[dict[str, Any]]:
    tokens, numbers = given["tokens"], given["token_logprobs"]
    tops = given.get("top_logprobs") or [None] * len(tokens)
    for token, number, top in zip(tokens, numbers, tops, strict=True):
        others = [_token(name, value) for name, value in (top or {}).items()]
        yield _token(token, number) | {"top_logprobs": others}


def _token(token: Any, logprob: Any) -> dict[str, Any]:
    if not isinstance(token, str):
        raise TypeError
    # JSON has no infinities, so minus infinity (probability 0) is "unknown" too.
    known = isinstance(logprob, int | float) and math.isfinite(logprob)
    return {"token": token, "logprob": float(logprob) if known else None}
