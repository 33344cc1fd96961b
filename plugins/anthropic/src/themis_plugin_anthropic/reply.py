"""Reads replies and errors of Messages. No I/O."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any, Final
from urllib.parse import urlsplit

from themis_core import HANDED_BACK, WARNING, Generation, Usage
from themis_http import billed, count, ending_of_answer, invalid, names_of, plain_objects, status_of, warning_of
from themis_plugin_anthropic.wire import STRUCTURED_TOOL

__all__ = ["error_within", "meaning", "path_hint", "read_message", "read_usage"]

LONGEST_PROVIDER_TEXT = 200
TEXTUAL: Final = frozenset({"text", "tool_use"})
"""Blocks that a message of the history has anyhow."""
COMPACTION: Final = "compaction"
"""A summary of what was said before, which the provider makes if it is told to: a request, and a bill, of its own."""
NO_ANSWER: Final = frozenset({"thinking", "redacted_thinking", COMPACTION})
SERVER_SIDE: Final = re.compile(r"server_tool_use|mcp_tool_use|container_upload|\w+_tool_result")
"""Blocks of tools that the provider runs itself: no part of the answer, and wanted again in the next turn."""

TYPES: Final[dict[str, tuple[str, bool]]] = {
    "authentication_error": ("unauthorized", False),
    "billing_error": ("quota_exhausted", False),
    "permission_error": ("forbidden", False),
    "not_found_error": ("not_found", False),
    "request_too_large": ("too_large", False),
    "rate_limit_error": ("rate_limited", True),
    "timeout_error": ("server_error", True),
    "api_error": ("server_error", True),
    "overloaded_error": ("overloaded", True),
    "conflict_error": ("server_error", True),
}
"""Types of errors but `invalid_request_error`, whose words tell."""
_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(words, re.IGNORECASE), code)
    for words, code in (
        (r"credit balance is too low|api usage limits|extra usage|spend(?:ing)? limit", "quota_exhausted"),
        (r"prompt is too long|exceed context limit|context window|maximum context length", "context_length"),
        (r"blocked by content filtering", "content_filter"),
        (r"request (?:size )?exceeds the maximum (?:size|allowed)|image exceeds \d+ ?mb maximum", "too_large"),
        (r"not allowed for this organization|organization has been disabled", "forbidden"),
    )
)


def meaning(status: int, data: Any) -> tuple[str, bool] | None:
    """What an error says by its type and its words; None if neither is known, so that the status tells."""
    error = data.get("error") if isinstance(data, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    if not isinstance(kind, str):
        return None
    said = str(error.get("message") or "")[:4000] if isinstance(error, dict) else ""
    if kind in ("invalid_request_error", "rate_limit_error", "permission_error", "request_too_large"):
        for words, code in _WORDS:
            if words.search(said) and not (code == "too_large" and kind == "rate_limit_error"):
                return code, False
    return TYPES.get(kind)


def read_usage(data: Any) -> Usage | None:
    """The token counts of a body. What was read from the cache and written to it is told beside the input."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return None
    listed = usage.get("iterations")
    steps = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    if any(each.get("type") == COMPACTION for each in steps):  # which the totals leave out, and the bill doesn't
        own = [_counted(each) for each in steps if each.get("type") in (COMPACTION, "message")]
        return _sum([each for each in own if each is not None])
    return _counted(usage)


def _counted(usage: dict[str, Any]) -> Usage | None:
    taken, given = count(usage, "input_tokens"), count(usage, "output_tokens")
    if taken is None and given is None:
        return None
    read, written = count(usage, "cache_read_input_tokens"), _written(usage)
    thought = count(usage.get("output_tokens_details"), "thinking_tokens")
    whole = None if taken is None else taken + (read or 0) + (written or 0)
    return Usage(whole, given, thought, read, written)


def _sum(parts: list[Usage]) -> Usage | None:
    """All of them together; of what none has a number, none."""
    names = [each.name for each in fields(Usage)]
    told = {name: [number for part in parts if (number := getattr(part, name)) is not None] for name in names}
    return Usage(**{name: sum(numbers) for name, numbers in told.items() if numbers}) if parts else None


def _written(usage: dict[str, Any]) -> int | None:
    told = count(usage, "cache_creation_input_tokens")
    by_time = usage.get("cache_creation")
    kept = [number for name in by_time if (number := count(by_time, name))] if isinstance(by_time, dict) else []
    return max(told or 0, sum(kept)) if kept else told


def read_message(data: dict[str, Any], latency_s: float | None = None) -> Generation:
    """Turn a reply, which took so long, into a generation. Raises EngineError."""
    with billed(data, read_usage):
        return _message(data, latency_s)


def _message(data: dict[str, Any], latency_s: float | None) -> Generation:
    reason = data.get("stop_reason")
    reason = reason[:LONGEST_PROVIDER_TEXT] if isinstance(reason, str) and reason.strip() else None
    ending = ending_of_answer(reason)
    blocks = _blocks(data)
    text = "".join(_text(each, "text") for each in blocks if each.get("type") == "text")
    calls = [each for each in blocks if each.get("type") == "tool_use"]
    text += "".join(json.dumps(each.get("input"), ensure_ascii=False) for each in calls if _is_form(each))
    tool_calls = tuple(_call(each) for each in calls if not _is_form(each))
    refusal = _refusal(data) if ending == "filtered" else None
    status = status_of(text, ending, refusal, tool_calls)
    return Generation(
        status=status,
        text=text,
        reasoning="\n\n".join(filter(None, (_text(each, "thinking") for each in blocks if _is_thinking(each)))) or None,
        refusal=refusal,
        finish_reason=reason,
        usage=read_usage(data) or Usage(),
        latency_s=latency_s,
        tool_calls=tool_calls,
        provider=_provider(data, blocks)
        | _beside_tokens(data)
        | _unknown_blocks(blocks)
        | warning_of(reason, ending, status),
    )


def _blocks(data: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    content = data.get("content")
    if not isinstance(content, list):
        raise invalid(f"the reply has no content{names_of(data)}")
    blocks = plain_objects(content, "content")
    if not all(isinstance(each.get("type"), str) for each in blocks):
        raise invalid("a block of the content has no type")
    return blocks


def _text(block: dict[str, Any], name: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise invalid(f"a block of type {name} has no text")
    return value


def _is_thinking(block: dict[str, Any]) -> bool:
    return block.get("type") == "thinking"


def _is_form(block: dict[str, Any]) -> bool:
    return block.get("name") == STRUCTURED_TOOL


def _call(block: dict[str, Any]) -> dict[str, Any]:
    name, call_id, given = block.get("name"), block.get("id"), block.get("input", {})
    if not isinstance(name, str) or not isinstance(call_id, str):
        raise invalid("a tool_use block has no id or no name")
    function = {"name": name, "arguments": json.dumps(given, ensure_ascii=False)}
    return {"id": call_id, "type": "function", "function": function}


def _refusal(data: dict[str, Any]) -> str | None:
    details = data.get("stop_details")
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None


def _provider(data: dict[str, Any], blocks: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    names = ("id", "model", "stop_sequence")
    said: dict[str, Any] = {
        name: value[:LONGEST_PROVIDER_TEXT] for name in names if isinstance(value := data.get(name), str)
    }
    if isinstance(details := data.get("stop_details"), dict) and isinstance(details.get("category"), str):
        said["refusal_category"] = details["category"][:LONGEST_PROVIDER_TEXT]
    if any(each.get("type") not in TEXTUAL for each in blocks):
        said[HANDED_BACK] = {"content": [*blocks]}
    return said


def _beside_tokens(data: dict[str, Any]) -> dict[str, str]:
    usage = data.get("usage")
    used = usage.get("server_tool_use") if isinstance(usage, dict) else None
    if not count(used, "web_search_requests"):
        return {}
    return {WARNING: "the provider bills its web searches beside tokens, and no cost here holds them"}


def _unknown_blocks(blocks: tuple[dict[str, Any], ...]) -> dict[str, str]:
    kinds = {str(each.get("type"))[:40] for each in blocks}
    unknown = sorted(each for each in kinds - TEXTUAL - NO_ANSWER if not SERVER_SIDE.fullmatch(each))
    shown = ", ".join("".join(filter(str.isprintable, each)) for each in unknown)
    return {WARNING: f"answers have blocks that are not known and count as nothing: {shown}"} if unknown else {}


def error_within(data: dict[str, Any]) -> Any:
    """The error that a 200 is; None if it is a message."""
    return data if data.get("type") == "error" or isinstance(data.get("error"), dict) else None


def path_hint(url: str) -> str:
    """What may be wrong with the path of an address that was called, as a clause; empty if it looks right."""
    path = urlsplit(url).path
    if "/v1/v1/" in path:
        return "; /v1 is there twice: leave it out of base_url"
    doubled = path.endswith("/messages/v1/messages")
    return "; the engine appends /v1/messages: leave it out of base_url" if doubled else ""
