"""Requests as Converse wants them. No I/O, no SDK, and no reading of replies."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from themis_core import HANDED_BACK, Request
from themis_http import forms
from themis_http.forms import unsupported

__all__ = ["CachePart", "Options", "converse_request", "from_plain", "to_plain"]

CachePart = Literal["tools", "system", "history", "prompt"]

RENAMED: Final = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
"""Settings to their names in `inferenceConfig`."""
TAKES: Final = frozenset(RENAMED) | {"response_format", "tools", "tool_choice"}
IMAGES: Final = {"image/jpeg": "jpeg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")
BYTES: Final = "$bytes"
"""The key under which plain data holds bytes, in Base64."""


class Options(NamedTuple):
    """What the engine's config says of a request."""

    additional_fields: Mapping[str, Any] = {}
    cache: Sequence[CachePart] = ()
    cache_ttl: Literal["5m", "1h"] = "5m"
    guardrail: Mapping[str, str] | None = None


def converse_request(request: Request, options: Options) -> dict[str, Any]:
    """The arguments of a call. Raises EngineError `unsupported` for what can't be asked."""
    params = request.params
    forms.check_settings(params, TAKES, "Converse")
    system, messages = forms.system_apart(request.messages)
    asked: dict[str, Any] = {"modelId": request.model_id, "messages": _messages(messages)}
    if system:
        asked["system"] = [{"text": text} for text in system]
    if inference := {sent: params[name] for name, sent in RENAMED.items() if params.get(name) not in (None, [])}:
        asked["inferenceConfig"] = inference
    if config := _tool_config(params):
        asked["toolConfig"] = config
    if "response_format" in params and (form := forms.answer_form(params["response_format"])) is not None:
        asked["outputConfig"] = {"textFormat": _text_format(form)}
    _check_beside_thinking(params, options.additional_fields)
    if options.additional_fields:
        asked["additionalModelRequestFields"] = dict(options.additional_fields)
    if options.guardrail is not None:
        asked["guardrailConfig"] = dict(options.guardrail)
    _mark_cached(asked, options)
    forms.add_further(asked, params)
    return asked


def _check_beside_thinking(params: Mapping[str, Any], additional: Mapping[str, Any]) -> None:
    """Refuse what Claude refuses while it thinks, which would fail every single request."""
    thinking = additional.get("thinking")
    if not isinstance(thinking, Mapping) or thinking.get("type") not in ("enabled", "adaptive"):
        return
    budget, most = thinking.get("budget_tokens"), params.get("max_tokens")
    if isinstance(budget, int) and most is not None and budget >= most:
        raise unsupported(f"max_tokens ({most}) must be above budget_tokens ({budget}), which is part of it")
    if params.get("temperature", 1) != 1:
        raise unsupported(
            "a model that thinks takes no temperature but 1: take it out, or write "
            "`params: {leave_out: [temperature]}` for this model"
        )


def _tool_config(params: Mapping[str, Any]) -> dict[str, Any]:
    tools = [_tool(each) for each in forms.tools_of(params.get("tools") or ())]
    kind, name = forms.tool_chosen(params["tool_choice"]) if "tool_choice" in params else ("none", "")
    if kind == "none":
        if "tool_choice" in params and tools:
            raise unsupported("Converse has no tool_choice none: leave out the tools, or the choice")
        return {"tools": tools} if tools else {}
    if not tools:
        raise unsupported("tool_choice needs tools to choose from")
    choices = {"auto": {"auto": {}}, "required": {"any": {}}, "function": {"tool": {"name": name}}}
    return {"tools": tools, "toolChoice": choices.get(kind, params["tool_choice"])}


def _tool(tool: forms.Tool | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(tool, forms.Tool):
        return dict(tool)
    told = {"description": tool.description, "strict": tool.strict}
    known = {name: value for name, value in told.items() if value is not None}
    return {"toolSpec": {"name": tool.name, "inputSchema": {"json": tool.parameters}, **known}}


def _text_format(form: forms.AnswerForm) -> dict[str, Any]:
    if form.schema is None:
        raise unsupported("response_format: Converse has no JSON without a schema: write one as a json_schema")
    schema = {"schema": json.dumps(form.schema), "name": form.name, "description": form.description}
    kept = {name: value for name, value in schema.items() if value is not None}
    return {"type": "json_schema", "structure": {"jsonSchema": kept}}


def _mark_cached(asked: dict[str, Any], options: Options) -> None:
    """Put a mark behind what the provider is to keep: all in front of it is kept."""
    point = {"cachePoint": {"type": "default"} | ({"ttl": options.cache_ttl} if options.cache_ttl != "5m" else {})}
    messages = asked["messages"]
    ends: dict[str, list[dict[str, Any]]] = {
        "tools": asked.get("toolConfig", {}).get("tools", []),
        "system": asked.get("system", []),
        "history": messages[-2]["content"] if len(messages) > 1 else [],
        "prompt": messages[-1]["content"] if messages else [],
    }
    for part in options.cache:
        if ends[part]:
            ends[part].append(point)


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for role, content in forms.content_in_turns(messages, _blocks):
        if said and said[-1]["role"] == role:  # two turns of one role are refused
            said[-1]["content"] += content
        else:
            said.append({"role": role, "content": content})
    return said


def _blocks(message: Mapping[str, Any], calls: Sequence[forms.ToolCall]) -> Iterator[dict[str, Any]]:
    if isinstance(kept := message.get(HANDED_BACK), dict) and isinstance(kept.get("content"), list):
        yield from from_plain(kept["content"])
    elif message["role"] == "tool":
        call = forms.result_of(message, calls)
        content = [*map(_block, forms.parts_of(message["content"]))]
        yield {"toolResult": {"toolUseId": call.id, "content": content or [{"text": ""}]}}
    else:
        yield from map(_block, forms.parts_of(message["content"]))
        for call in forms.tool_calls_of(message):
            yield {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            return {"text": part["text"]}
        case "image_url":
            kind, content = _content(part["image_url"]["url"], IMAGES, "an image")
            return {"image": {"format": kind, "source": {"bytes": content}}}
        case "input_audio":
            given = part["input_audio"]
            return {"audio": {"format": given["format"], "source": {"bytes": _bytes(given["data"])}}}
        case "file":
            file = part["file"]
            kind, content = _content(str(file.get("file_data", "")), DOCUMENTS, "a file")
            return {"document": {"format": kind, "name": _name(file), "source": {"bytes": content}}}
    raise unsupported(f"Converse takes no part of type {str(part.get('type'))!r}")


def _content(url: str, types: Mapping[str, str], what: str) -> tuple[str, bytes]:
    data = forms.data_url(url)
    if data is None:
        raise unsupported(f"Converse fetches nothing: give {what} by a path or as a data: URL")
    if data.media_type not in types:
        raise unsupported(f"{what} can be {', '.join(types.values())}, and not {data.media_type or 'of no type'}")
    return types[data.media_type], _bytes(data.base64)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise unsupported("a part of a message holds what is no Base64") from None


def _name(file: Mapping[str, Any]) -> str:
    """A name as Converse takes it: letters, digits, single spaces, hyphens and brackets."""
    stem = str(file.get("filename") or "document").rpartition("/")[2]
    stem = stem.rpartition(".")[0] or stem
    return " ".join(_NOT_IN_NAMES.sub(" ", stem).split())[:200] or "document"


def to_plain(value: Any) -> Any:
    """What the SDK gave as data that JSON can hold: bytes become Base64 under the key `$bytes`."""
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {str(name): to_plain(each) for name, each in value.items()}
    return [to_plain(each) for each in value] if isinstance(value, list | tuple) else value


def from_plain(value: Any) -> Any:
    """The opposite of `to_plain`."""
    if isinstance(value, dict):
        if value.keys() == {BYTES}:
            return base64.b64decode(value[BYTES])
        return {name: from_plain(each) for name, each in value.items()}
    return [from_plain(each) for each in value] if isinstance(value, list) else value
