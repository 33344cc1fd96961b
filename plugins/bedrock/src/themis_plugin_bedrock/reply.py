"""Reads replies of Converse, as the SDK gives them. No I/O and no SDK."""

from __future__ import annotations

import json
from typing import Any, Final

from themis_core import HANDED_BACK, WARNING, Generation, Usage
from themis_http import billed, count, ending_of_answer, invalid, names_of, plain_objects, status_of, warning_of
from themis_plugin_bedrock.wire import to_plain

__all__ = ["read_converse", "read_usage"]

LONGEST_PROVIDER_TEXT: Final = 200
TEXTUAL: Final = frozenset({"text", "toolUse"})
"""Blocks that a message of the history has anyhow."""
KNOWN: Final = TEXTUAL | {"reasoningContent", "citationsContent", "toolResult"}


def read_usage(data: Any) -> Usage | None:
    """The token counts of a reply. What was read from the cache and written to it is told beside the input, unless the
    total says that it is within."""
    usage = data.get("usage") if isinstance(data, dict) else None
    taken, given = count(usage, "inputTokens"), count(usage, "outputTokens")
    if taken is None and given is None:
        return None
    read, written = count(usage, "cacheReadInputTokens"), count(usage, "cacheWriteInputTokens")
    kept = (read or 0) + (written or 0)
    if taken is not None and not (kept <= taken and count(usage, "totalTokens") == taken + (given or 0)):
        taken += kept
    return Usage(taken, given, None, read, written)


def read_converse(data: dict[str, Any], latency_s: float | None = None) -> Generation:
    """Turn a reply, which took so long, into a generation. Raises EngineError."""
    with billed(data, read_usage):
        return _answer(to_plain(data), latency_s)


def _answer(data: dict[str, Any], latency_s: float | None) -> Generation:
    reason = data.get("stopReason")
    reason = reason[:LONGEST_PROVIDER_TEXT] if isinstance(reason, str) and reason.strip() else None
    ending = ending_of_answer(reason)
    blocks = _blocks(data)
    text = "".join(map(_text, blocks))
    tool_calls = tuple(_call(each["toolUse"]) for each in blocks if _is_call(each))
    status = status_of(text, ending, None, tool_calls)
    return Generation(
        status=status,
        text=text,
        reasoning="\n\n".join(filter(None, map(_reasoning, blocks))) or None,
        finish_reason=reason,
        usage=read_usage(data) or Usage(),
        latency_s=latency_s,
        tool_calls=tool_calls,
        provider=_provider(data, blocks) | _unknown_blocks(blocks) | warning_of(reason, ending, status),
    )


def _blocks(data: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    output = data.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    if not isinstance(message, dict):
        raise invalid(f"the reply has no message{names_of(data)}")
    return plain_objects(message.get("content"), "content")


def _text(block: dict[str, Any]) -> str:
    """The text of a block, with or without citations; nothing of other blocks."""
    cited = block.get("citationsContent")
    if isinstance(cited, dict):
        return "".join(map(_text, plain_objects(cited.get("content"), "citationsContent")))
    text = block.get("text", "")
    if not isinstance(text, str):
        raise invalid("a block's text is no text")
    return text


def _reasoning(block: dict[str, Any]) -> str:
    content = block.get("reasoningContent")
    said = content.get("reasoningText") if isinstance(content, dict) else None
    text = said.get("text") if isinstance(said, dict) else None
    return text if isinstance(text, str) else ""


def _is_call(block: dict[str, Any]) -> bool:
    """Whether a block is a call that somebody else is to make, and not one of the provider's own tools."""
    use = block.get("toolUse")
    return isinstance(use, dict) and use.get("type") != "server_tool_use"


def _call(use: dict[str, Any]) -> dict[str, Any]:
    name, call_id = use.get("name"), use.get("toolUseId")
    if not isinstance(name, str) or not isinstance(call_id, str):
        raise invalid("a toolUse block has no id or no name")
    function = {"name": name, "arguments": json.dumps(use.get("input") or {}, ensure_ascii=False)}
    return {"id": call_id, "type": "function", "function": function}


def _provider(data: dict[str, Any], blocks: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    metadata = data.get("ResponseMetadata")
    if isinstance(metadata, dict) and isinstance(request_id := metadata.get("RequestId"), str):
        said["id"] = request_id[:LONGEST_PROVIDER_TEXT]
    trace = data.get("trace")
    if isinstance(trace, dict):
        router, guardrail = trace.get("promptRouter"), trace.get("guardrail")
        if isinstance(router, dict) and isinstance(router.get("invokedModelId"), str):
            said["model"] = router["invokedModelId"][:LONGEST_PROVIDER_TEXT]
        if isinstance(guardrail, dict) and isinstance(guardrail.get("actionReason"), str):
            said["guardrail"] = guardrail["actionReason"][:LONGEST_PROVIDER_TEXT]
    if any(not each.keys() <= TEXTUAL or ("toolUse" in each and not _is_call(each)) for each in blocks):
        said[HANDED_BACK] = {"content": [*blocks]}
    return said


def _unknown_blocks(blocks: tuple[dict[str, Any], ...]) -> dict[str, str]:
    unknown = sorted({name[:40] for each in blocks for name in each.keys() - KNOWN})
    shown = ", ".join("".join(filter(str.isprintable, each)) for each in unknown)
    return {WARNING: f"answers have blocks that are not known and count as nothing: {shown}"} if unknown else {}
