"""Requests as Gemini wants them. No I/O, and no reading of replies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from themis_core import HANDED_BACK, Request
from themis_http import forms
from themis_http.forms import unsupported

__all__ = ["CATEGORIES", "MADE_UP_ID", "THRESHOLDS", "Options", "gemini_body", "model_path"]

RENAMED: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "stop": "stopSequences",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
"""Settings to their names in `generationConfig`."""
TAKES: Final = frozenset(RENAMED) | {
    *("seed", "logprobs", "top_logprobs", "reasoning_effort", "response_format", "tools", "tool_choice"),
}
MOST_STOPS: Final = 5
EFFORTS: Final = ("minimal", "low", "medium", "high")
MADE_UP_ID: Final = "call_"
"""What the ids begin with of calls that came without one. They are not sent back."""
CATEGORIES: Final = {
    name: f"HARM_CATEGORY_{name.upper()}"
    for name in ("harassment", "hate_speech", "sexually_explicit", "dangerous_content", "civic_integrity")
}
THRESHOLDS: Final = {
    "low_and_above": "BLOCK_LOW_AND_ABOVE",
    "medium_and_above": "BLOCK_MEDIUM_AND_ABOVE",
    "only_high": "BLOCK_ONLY_HIGH",
    "none": "BLOCK_NONE",
    "off": "OFF",
}
_AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mp3"}
_ELSEWHERE: Final = ("https:", "http:", "gs:")
_OWN_PATHS: Final = ("models/", "tunedModels/", "endpoints/", "publishers/")


class Options(NamedTuple):
    """What the engine's config says of a request."""

    thinking_budget: int | None = None
    include_thoughts: bool | None = None
    safety: Mapping[str, str] = {}
    """Categories to thresholds, in the provider's words."""


def model_path(model: str) -> str:
    """What is appended to the base URL for a model: its own path, or a name that is among the models."""
    return f"/{model if model.startswith(_OWN_PATHS) else f'models/{model}'}:generateContent"


def gemini_body(request: Request, options: Options) -> dict[str, Any]:
    """The body of a request. Raises EngineError `unsupported` for what can't be asked."""
    params = request.params
    forms.check_settings(params, TAKES, "Gemini")
    system, messages = forms.system_apart(request.messages)
    body: dict[str, Any] = {"contents": _contents(messages)}
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if tools := params.get("tools"):
        body["tools"] = _tools(tools)
    if "tool_choice" in params:
        body["toolConfig"] = _tool_config(params["tool_choice"])
    if options.safety:
        body["safetySettings"] = [{"category": each, "threshold": level} for each, level in options.safety.items()]
    if generation := _generation(request, options):
        body["generationConfig"] = generation
    forms.add_further(body, params)
    return body


def _generation(request: Request, options: Options) -> dict[str, Any]:
    params = request.params
    if len(params.get("stop") or ()) > MOST_STOPS:
        raise unsupported(f"Gemini takes at most {MOST_STOPS} texts in `stop`")
    given = {name: value for name, value in params.items() if value not in (None, [])}
    config: dict[str, Any] = {sent: given[name] for name, sent in RENAMED.items() if name in given}
    seed = params.get("seed") if request.seed is None else request.seed
    if seed is not None:
        config["seed"] = seed
    if params.get("logprobs", "top_logprobs" in params):
        config["responseLogprobs"] = True
        if "top_logprobs" in params:
            config["logprobs"] = params["top_logprobs"]
    if "response_format" in params and (form := forms.answer_form(params["response_format"])) is not None:
        config["responseMimeType"] = "application/json"
        if form.schema is not None:
            config["responseJsonSchema"] = form.schema
    if thinking := _thinking(params, options):
        config["thinkingConfig"] = thinking
    return config


def _thinking(params: Mapping[str, Any], options: Options) -> dict[str, Any]:
    effort = params.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise unsupported(f"reasoning_effort can be {', '.join(EFFORTS)} here, and not {effort!r}")
    if effort is not None and options.thinking_budget is not None:
        raise unsupported("reasoning_effort and thinking_budget say two things about thinking: keep one")
    given = {
        "thinkingLevel": effort,
        "thinkingBudget": options.thinking_budget,
        "includeThoughts": options.include_thoughts,
    }
    return {name: value for name, value in given.items() if value is not None}


def _tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    functions, own = [], []
    for each in forms.tools_of(tools):
        if isinstance(each, forms.Tool):
            said = {"description": each.description} if each.description is not None else {}
            functions.append({"name": each.name, **said, "parametersJsonSchema": each.parameters})
        else:
            own.append(dict(each))
    return [*([{"functionDeclarations": functions}] if functions else ()), *own]


def _tool_config(choice: Any) -> dict[str, Any]:
    kind, name = forms.tool_chosen(choice)
    if kind == "own":
        return dict(choice)
    mode = {"auto": "AUTO", "none": "NONE"}.get(kind, "ANY")
    return {"functionCallingConfig": {"mode": mode} | ({"allowedFunctionNames": [name]} if name else {})}


def _contents(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    said = forms.content_in_turns(messages, _parts)
    return [{"role": "model" if role == "assistant" else "user", "parts": parts} for role, parts in said]


def _parts(message: Mapping[str, Any], calls: Sequence[forms.ToolCall]) -> Iterator[dict[str, Any]]:
    if isinstance(kept := message.get(HANDED_BACK), dict) and isinstance(kept.get("parts"), list):
        yield from kept["parts"]
    elif message["role"] == "tool":
        call = forms.result_of(message, calls)
        yield {"functionResponse": {**_id(call), "name": call.name, "response": _response(message["content"])}}
    else:
        yield from map(_part, forms.parts_of(message["content"]))
        for call in forms.tool_calls_of(message):
            yield {"functionCall": {**_id(call), "name": call.name, "args": call.arguments}}


def _id(call: forms.ToolCall) -> dict[str, str]:
    return {} if not call.id or call.id.startswith(MADE_UP_ID) else {"id": call.id}


def _response(content: Any) -> dict[str, Any]:
    """What a tool gave, as an object: JSON as it is, other text as its result."""
    parts = [*forms.parts_of(content)]
    if any(part.get("type") != "text" for part in parts):
        raise unsupported("what a tool gave can only be text here")
    text = "".join(part["text"] for part in parts)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    return given if isinstance(given, dict) else {"result": text}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            return {"text": part["text"]}
        case "image_url":
            return _media(part["image_url"]["url"], "an image")
        case "input_audio":
            given = part["input_audio"]
            return {
                "inlineData": {
                    "mimeType": _AUDIO.get(given["format"], f"audio/{given['format']}"),
                    "data": given["data"],
                }
            }
        case "file":
            file = part["file"]
            return _media(str(file.get("file_data") or file.get("file_id") or ""), "a file")
    raise unsupported(f"Gemini takes no part of type {str(part.get('type'))!r}")


def _media(url: str, what: str) -> dict[str, Any]:
    data = forms.data_url(url)
    if data is None:
        if not url.lower().startswith(_ELSEWHERE):
            raise unsupported(f"the URL of {what} must begin with https:, gs: or data:")
        return {"fileData": {"fileUri": url}}
    if "/" not in data.media_type:
        raise unsupported(f"the data: URL of {what} must name its type, such as data:image/png;base64,...")
    return {"inlineData": {"mimeType": data.media_type, "data": data.base64}}
