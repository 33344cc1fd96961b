"""Requests as the protocol wants them: one JSON object per call. No I/O, and no reading of replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from themis_core import HANDED_BACK, EngineError, Request
from themis_plugin_openai.roles import SystemRole, with_roles

__all__ = ["Names", "chat_body", "completions_body"]

SAME_NAME = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "stop",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "reasoning_effort",
        "response_format",
    }
)
"""Settings that go over the wire as they are, to both interfaces."""
CHAT_ONLY = frozenset({"tools", "tool_choice"})
FURTHER = ("extra_body", "extras")
"""Settings that hold further keys of the body. The protocol is all that the engine knows, so both are of the server."""
TRANSLATED = frozenset({"max_tokens", "seed", "logprobs", "top_logprobs", *FURTHER})


class Names(NamedTuple):
    """Names of settings that servers differ in."""

    max_tokens: str = "max_tokens"
    seed: str = "seed"


def chat_body(request: Request, names: Names, system_role: SystemRole) -> dict[str, Any]:
    """The body of a chat request. Raises EngineError `unsupported` for what can't be asked."""
    params = request.params
    messages = [_message(each) for each in with_roles(request.messages, system_role)]
    body: dict[str, Any] = {"model": request.model_id, "messages": messages}
    _add_plain(body, params, SAME_NAME | CHAT_ONLY)
    if "max_tokens" in params:
        body[names.max_tokens] = params["max_tokens"]
    if "logprobs" in params or "top_logprobs" in params:
        body["logprobs"] = params.get("logprobs", True)
    if "top_logprobs" in params:
        body["top_logprobs"] = params["top_logprobs"]
    return _finished(body, request, names.seed)


def completions_body(request: Request, separator: str) -> dict[str, Any]:
    """The body of a text completion. Raises EngineError `unsupported` for what can't be asked."""
    params = request.params
    prompt = separator.join(_text(message) for message in request.messages)
    body: dict[str, Any] = {"model": request.model_id, "prompt": prompt}
    _add_plain(body, params, SAME_NAME)
    if "max_tokens" in params:
        body["max_tokens"] = params["max_tokens"]
    if params.get("logprobs", "top_logprobs" in params):
        # Here `logprobs` is the number of alternatives. 1 if none is given, as some servers take 0 for "none at all".
        body["logprobs"] = params.get("top_logprobs", 1)
    return _finished(body, request)


def _add_plain(body: dict[str, Any], params: Mapping[str, Any], plain: frozenset[str]) -> None:
    for name, value in params.items():
        if name in plain:
            body[name] = value
        elif name not in TRANSLATED:
            raise _unsupported(f"this engine has no setting {name!r}")


def _finished(body: dict[str, Any], request: Request, seed_field: str = "seed") -> dict[str, Any]:
    seed = request.params.get("seed") if request.seed is None else request.seed
    if seed is not None:
        body[seed_field] = seed
    for field in FURTHER:
        further = request.params.get(field, {})
        # A seed may be derived, and then the given one wins.
        if twice := sorted(further.keys() & body.keys() - {seed_field}):
            raise _unsupported(f"{field} can't set {', '.join(twice)}, which the request says already")
        body.update(further)
        if further.get("stream"):
            raise _unsupported(f"take `stream` out of {field}, and write `stream: true` in the model's `extras`")
    return body


def _message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if HANDED_BACK in message:
        message = {name: each for name, each in message.items() if name != HANDED_BACK} | message[HANDED_BACK]
    if not isinstance(content, list):
        return message
    return message | {"content": [_part(part) for part in content]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") != "image_url":
        return part
    image = {name: value for name, value in part["image_url"].items() if value is not None}
    if not image["url"].lower().startswith(("https:", "http:", "data:")):
        raise _unsupported("an image's URL must begin with https: or data:")
    return {"type": "image_url", "image_url": image}


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    if any(part.get("type") != "text" for part in content):
        raise _unsupported("text completions take no images: use openai/chat")
    return "".join(part["text"] for part in content)


def _unsupported(message: str) -> EngineError:
    return EngineError("unsupported", message)
