"""Requests as Messages want them. No I/O, and no reading of replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from themis_core import HANDED_BACK, Request
from themis_http import forms
from themis_http.forms import unsupported

__all__ = ["STRUCTURED_TOOL", "CachePart", "Options", "message_body"]

CachePart = Literal["tools", "system", "history", "prompt"]

SAME_NAME: Final = frozenset({"max_tokens", "temperature", "top_p", "top_k"})
TAKES: Final = SAME_NAME | {"stop", "reasoning_effort", "response_format", "tools", "tool_choice"}
IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
STRUCTURED_TOOL: Final = "structured_answer"
"""The tool by which an answer of a given form is asked for, where the model knows no other way."""
LEAST_BUDGET: Final = 1024
THINKS: Final = frozenset({"enabled", "adaptive"})
_WEB: Final = ("https:", "http:")


class Options(NamedTuple):
    """What the engine's config says of a request."""

    thinking: Literal["adaptive", "disabled"] | None = None
    budget: int | None = None
    display: Literal["summarized", "omitted"] | None = None
    cache: Sequence[CachePart] = ()
    cache_ttl: Literal["5m", "1h"] = "5m"
    by_tool: bool = False
    """Whether an answer's form is asked for by a tool."""


def message_body(request: Request, options: Options) -> dict[str, Any]:
    """The body of a request. Raises EngineError `unsupported` for what can't be asked."""
    params = request.params
    forms.check_settings(params, TAKES, "Messages")
    if "max_tokens" not in params:
        raise unsupported("Messages want `max_tokens`, the most tokens that an answer may have: set it")
    if params.get("temperature", 0) > 1:
        raise unsupported("temperature goes from 0 to 1 here")
    system, messages = forms.system_apart(request.messages)
    body: dict[str, Any] = {"model": request.model_id, "messages": _messages(messages)}
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    body |= {name: params[name] for name in SAME_NAME if name in params}
    if stop := params.get("stop"):
        body["stop_sequences"] = stop
    _add_thinking(body, params, options)
    _add_tools(body, params)
    _add_form(body, params, options)
    _mark_cached(body, options)
    if system and not options.cache:
        body["system"] = "\n\n".join(system)
    forms.add_further(body, params)
    return body


def _add_thinking(body: dict[str, Any], params: Mapping[str, Any], options: Options) -> None:
    if options.budget is not None:
        if options.budget >= params["max_tokens"]:
            least = f"thinking_budget ({options.budget}), which is part of it"
            raise unsupported(f"max_tokens ({params['max_tokens']}) must be above {least}")
        body["thinking"] = {"type": "enabled", "budget_tokens": options.budget}
    elif options.thinking is not None:
        body["thinking"] = {"type": options.thinking}
    if options.display is not None:
        body["thinking"]["display"] = options.display
    if body.get("thinking", {}).get("type") in THINKS:
        _check_beside_thinking(params)
    if "reasoning_effort" in params:
        body["output_config"] = {"effort": params["reasoning_effort"]}


def _check_beside_thinking(params: Mapping[str, Any]) -> None:
    """Refuse what the interface refuses while a model thinks, which would fail every single request."""
    for name, is_taken, wanted in (
        ("temperature", params.get("temperature", 1) == 1, "none but 1"),
        ("top_p", 0.95 <= params.get("top_p", 1) <= 1, "only from 0.95 to 1"),
        ("top_k", "top_k" not in params, "none"),
        ("tool_choice", "tool_choice" not in params or _is_free(params["tool_choice"]), "only auto and none"),
    ):
        if not is_taken:
            raise unsupported(
                f"a model that thinks takes {wanted} as {name}: take it out, or write "
                f"`params: {{leave_out: [{name}]}}` for this model"
            )


def _is_free(choice: Any) -> bool:
    """Whether the model may answer without a tool."""
    kind, _ = forms.tool_chosen(choice)
    return (choice.get("type") if kind == "own" else kind) in ("auto", "none")


def _add_tools(body: dict[str, Any], params: Mapping[str, Any]) -> None:
    if tools := params.get("tools"):
        body["tools"] = [_tool(each) for each in forms.tools_of(tools)]
    if "tool_choice" in params:
        kind, name = forms.tool_chosen(params["tool_choice"])
        own = {"required": {"type": "any"}, "function": {"type": "tool", "name": name}, "own": params["tool_choice"]}
        body["tool_choice"] = own.get(kind, {"type": kind})


def _tool(tool: forms.Tool | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(tool, forms.Tool):
        return dict(tool)
    given = {"name": tool.name, "description": tool.description, "input_schema": tool.parameters, "strict": tool.strict}
    return {name: value for name, value in given.items() if value is not None}


def _add_form(body: dict[str, Any], params: Mapping[str, Any], options: Options) -> None:
    form = forms.answer_form(params["response_format"]) if "response_format" in params else None
    if form is None:
        return
    if form.schema is None:
        raise unsupported("response_format: Messages have no JSON without a schema: write one as a json_schema")
    if not options.by_tool:
        body["output_config"] = body.get("output_config", {}) | {
            "format": {"type": "json_schema", "schema": form.schema}
        }
        return
    if "tool_choice" in body or body.get("thinking", {}).get("type") in THINKS:
        raise unsupported("structured_by: tool needs the choice of that tool, which thinking and tool_choice rule out")
    description = form.description or "Give your answer by this tool."
    tool = {"name": STRUCTURED_TOOL, "description": description, "input_schema": form.schema}
    body["tools"] = [*body.get("tools", ()), tool]
    body["tool_choice"] = {"type": "tool", "name": STRUCTURED_TOOL}


def _mark_cached(body: dict[str, Any], options: Options) -> None:
    """Mark the ends of what the provider is to keep: all in front of a mark is kept, in the order tools, system,
    messages."""
    mark = {"type": "ephemeral"} | ({"ttl": options.cache_ttl} if options.cache_ttl != "5m" else {})
    messages = body["messages"]
    ends: dict[str, list[dict[str, Any]]] = {
        "tools": body.get("tools", []),
        "system": body.get("system", []),
        "history": messages[-2]["content"] if len(messages) > 1 else [],
        "prompt": messages[-1]["content"] if messages else [],
    }
    for part in options.cache:
        markable = [at for at, block in enumerate(ends[part]) if not str(block.get("type")).endswith("thinking")]
        if markable:
            ends[part][markable[-1]] = {**ends[part][markable[-1]], "cache_control": mark}


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in forms.content_in_turns(messages, _blocks)]


def _blocks(message: Mapping[str, Any], calls: Sequence[forms.ToolCall]) -> Iterator[dict[str, Any]]:
    if isinstance(kept := message.get(HANDED_BACK), dict) and isinstance(kept.get("content"), list):
        yield from kept["content"]
    elif message["role"] == "tool":
        call = forms.result_of(message, calls)
        yield {
            "type": "tool_result",
            "tool_use_id": call.id,
            "content": [*map(_block, forms.parts_of(message["content"]))],
        }
    else:
        yield from map(_block, forms.parts_of(message["content"]))
        for call in forms.tool_calls_of(message):
            yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            return {"type": "text", "text": part["text"]}
        case "image_url":
            return {"type": "image", "source": _source(part["image_url"]["url"], IMAGES, "an image")}
        case "file":
            return _document(part["file"])
        case "input_audio":
            raise unsupported("Messages take no audio")
    raise unsupported(f"Messages take no part of type {str(part.get('type'))!r}")


def _source(url: str, types: frozenset[str], what: str) -> dict[str, Any]:
    data = forms.data_url(url)
    if data is None:
        if not url.lower().startswith(_WEB):
            raise unsupported(f"the URL of {what} must begin with https: or data:")
        return {"type": "url", "url": url}
    if data.media_type not in types:
        raise unsupported(f"{what} can be {', '.join(sorted(types))}, and not {data.media_type or 'of no type'}")
    return {"type": "base64", "media_type": data.media_type, "data": data.base64}


def _document(file: Mapping[str, Any]) -> dict[str, Any]:
    title = {"title": file["filename"]} if file.get("filename") else {}
    if file.get("file_id"):
        return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}, **title}
    url = str(file.get("file_data", ""))
    data = forms.data_url(url)
    if data is not None and data.media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": forms.decoded(data)}
    else:
        source = _source(url, frozenset({"application/pdf"}), "a file that is no text")
    return {"type": "document", "source": source, **title}
