"""Requests as the Responses interface wants them: a list of input items. No I/O, and no reading of replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from themis_core import HANDED_BACK, EngineError, Request

__all__ = ["OUTPUT", "responses_body"]

OUTPUT = "output"
"""Under which the items of an answer are handed back."""
SAME_NAME = frozenset({"temperature", "top_p"})
FURTHER = ("extra_body", "extras")
_OTHERWISE = {
    "max_tokens": "max_output_tokens",
    "top_logprobs": "top_logprobs",
}
_KNOWN = SAME_NAME | _OTHERWISE.keys() | {
    "logprobs", "reasoning_effort", "response_format", "tool_choice", "tools", *FURTHER,
}  # fmt: skip
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"


def responses_body(request: Request, summary: str | None, encrypted: bool | None) -> dict[str, Any]:
    """The body of a request. Raises EngineError `unsupported` for what can't be asked.

    Messages of the system or developer at the beginning are its instructions. Encrypted reasoning is asked for, if that
    is not said, where a reasoning effort or a summary is.
    """
    params = request.params
    if unknown := sorted(params.keys() - _KNOWN):
        raise _unsupported(
            f"the Responses interface has no setting {unknown[0]!r}: leave it out for this model by "
            f"`params: {{leave_out: [{unknown[0]}]}}`"
        )
    instructions, messages = _instructions(request.messages)
    custom = frozenset(
        each.get("id") for message in messages for each in _calls(message) if each.get("type") == "custom"
    )
    items = [item for each in messages for item in _items(each, custom)]
    body: dict[str, Any] = {"model": request.model_id, "input": items}
    body["store"] = False
    if instructions:
        body["instructions"] = instructions
    body |= {name: params[name] for name in SAME_NAME if name in params}
    body |= {sent: params[name] for name, sent in _OTHERWISE.items() if name in params}
    body |= _reasoning(params, summary)
    if "response_format" in params:
        body["text"] = {"format": _format(params["response_format"])}
    if "tools" in params:
        body["tools"] = [_tool(each) for each in params["tools"]]
    if "tool_choice" in params:
        body["tool_choice"] = _choice(params["tool_choice"])
    encrypted = "reasoning" in body if encrypted is None else encrypted
    wanted = [ENCRYPTED] * encrypted + [LOGPROBS] * bool(params.get("logprobs", "top_logprobs" in params))
    if wanted:
        body["include"] = wanted
    return _finished(body, params)


def _instructions(messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        if message.get("role") not in ("system", "developer") or not isinstance(content, str):
            break
        texts.append(content)
    return "\n\n".join(texts), messages[len(texts) :]


def _calls(message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return message.get("tool_calls") or ()


def _items(message: dict[str, Any], custom: frozenset[Any]) -> Iterator[dict[str, Any]]:
    """The items of a message; `custom` are the ids of calls whose input is free text."""
    if isinstance(kept := message.get(HANDED_BACK), dict) and OUTPUT in kept:
        yield from kept[OUTPUT]
        return
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        called = message.get("tool_call_id")
        kind = "custom_tool_call_output" if called in custom else "function_call_output"
        yield {"type": kind, "call_id": called, "output": _output(content)}
        return
    if content or not _calls(message):
        yield {"role": role, "content": content if isinstance(content, str) else _parts(content, role)}
    yield from map(_item_of_call, _calls(message))


def _item_of_call(call: dict[str, Any]) -> dict[str, Any]:
    if call.get("type") == "custom":
        custom = call.get("custom", {})
        named = {"name": custom.get("name"), "input": custom.get("input")}
        return {"type": "custom_tool_call", "call_id": call.get("id"), **named}
    function = call.get("function", {})
    named = {"name": function.get("name"), "arguments": function.get("arguments")}
    return {"type": "function_call", "call_id": call.get("id"), **named}


def _output(content: Any) -> Any:
    return content if isinstance(content, str) else _parts(content, "tool")


def _parts(content: Any, role: Any) -> list[dict[str, Any]]:
    return [_part(each, role) for each in content or ()]


def _part(part: dict[str, Any], role: Any) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            return {"type": "output_text" if role == "assistant" else "input_text", "text": part["text"]}
        case "image_url":
            image = {name: value for name, value in part["image_url"].items() if value is not None}
            return {"type": "input_image", "image_url": image.pop("url"), **image}
        case "file":
            return {"type": "input_file", **part["file"]}
        case kind:
            raise _unsupported(f"the Responses interface takes no part of type {kind!r}: use openai/chat")


def _reasoning(params: Mapping[str, Any], summary: str | None) -> dict[str, Any]:
    effort = {"effort": params["reasoning_effort"]} if "reasoning_effort" in params else {}
    told = effort | ({"summary": summary} if summary is not None else {})
    return {"reasoning": told} if told else {}


def _format(given: Any) -> Any:
    # Of chat completions, where a schema is nested once more.
    nested = given.get("json_schema") if isinstance(given, dict) else None
    return {"type": "json_schema", **nested} if isinstance(nested, dict) else given


def _tool(given: Any) -> Any:
    kind, nested = _nested(given)
    # Here a schema is taken strictly unless it is said not to be, and in chat completions it is the other way round.
    strict = {"strict": False} if kind == "function" else {}
    return given if nested is None else {"type": kind, **strict, **nested}


def _choice(given: Any) -> Any:
    kind, nested = _nested(given)
    return given if nested is None else {"type": kind, "name": nested["name"]}


def _nested(given: Any) -> tuple[str, dict[str, Any] | None]:
    """The kind of a tool in the form of chat completions, and what it nests under that name, or None."""
    for kind in ("function", "custom"):
        if isinstance(given, dict) and isinstance(nested := given.get(kind), dict):
            return kind, nested
    return "", None


def _finished(body: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    for field in FURTHER:
        for name, value in params.get(field, {}).items():
            there = body.get(name)
            if name in ("stream", "background"):
                raise _unsupported(f"take {name!r} out of {field}: replies are waited for")
            if isinstance(there, dict) and isinstance(value, dict) and there.keys().isdisjoint(value):
                body[name] = there | value
            elif name == "include" and isinstance(there, list) and isinstance(value, list):
                body[name] = [*there, *(each for each in value if each not in there)]
            elif name in body and name != "store":
                raise _unsupported(f"{field} can't set {name}, which the request says already")
            else:
                body[name] = value
    return body


def _unsupported(message: str) -> EngineError:
    return EngineError("unsupported", message)
