"""The lines that a program is sent and sends back: one JSON object each, matched by `id`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from themis_core import ERROR_CODES, EngineError, Generation, Request, failure_with_steps, generation_of

__all__ = ["BadLine", "answer_of", "asked_line", "id_of", "reply_of"]

_OF_FAILURE: Final = ("id", "error", "code", "retryable", "text", "steps", "cost", "usage")
_SHOWN: Final = 120


class BadLine(Exception):
    """What came is no reply to anything that was asked."""


def asked_line(request: Request, number: str, *, messages: bool) -> bytes:
    """The line of one request, in ASCII. `messages`: whether it is sent them."""
    asked: dict[str, Any] = {
        "id": number,
        "item": request.item,
        **({"messages": request.messages} if messages else {}),
        "params": request.params,
        "seed": request.seed,
        "sample": request.sample_index,
        "item_id": request.item_id,
        "model": request.model_id,
    }
    return json.dumps(asked).encode("ascii") + b"\n"


def reply_of(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises BadLine."""
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine(f"it wrote a line that is no JSON: {_told(line)}") from None
    if not isinstance(reply, dict):
        raise BadLine(f"it wrote a line that is no JSON object: {_told(line)}")
    return reply


def id_of(reply: Mapping[str, Any], line: bytes) -> str:
    """The id of a reply; numbers are taken as texts. Raises BadLine."""
    number = reply.get("id")
    if not isinstance(number, str | int) or isinstance(number, bool):
        raise BadLine(f"it wrote a line without an id: {_told(line)}")
    return str(number)


def answer_of(reply: Mapping[str, Any]) -> Generation:
    """The generation that a reply says. Raises EngineError for a failure that it tells, and for what is no answer."""
    try:
        if reply.get("error") is None:
            return generation_of({name: value for name, value in reply.items() if name != "id"})
        if unknown := [name for name in reply if name not in _OF_FAILURE]:
            raise ValueError(f"it has an error and the key {unknown[0]!r:.60}; known: {', '.join(_OF_FAILURE)}")
        code, told = reply.get("code", "application_error"), _text(reply["error"])
        if not isinstance(code, str) or code not in ERROR_CODES:
            code, told = "application_error", f"{told} (it gave the code {code!r:.60}, which Themis does not know)"
        failure = failure_with_steps(code, told, reply, retryable=reply.get("retryable") is True)
    except (TypeError, ValueError) as error:
        raise EngineError("application_error", f"its reply is no generation: {error}") from error
    raise failure


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _told(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace").strip()
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
