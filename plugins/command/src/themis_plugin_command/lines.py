"""The lines that a program is sent and sends back: one JSON object each, matched by `id`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from themis_core import EngineError, Generation, Request, Usage

__all__ = ["BadLine", "asked_line", "generation_of", "id_of", "reply_of"]

_OF_RUN: Final = frozenset({"attempts", "steps_left_out", "error_code"})
_FIELDS: Final = tuple(each.name for each in fields(Generation) if each.name not in _OF_RUN)
_KEYS: Final = ("id", *_FIELDS, "code", "retryable")
_COUNTS: Final = tuple(each.name for each in fields(Usage))
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


def generation_of(reply: Mapping[str, Any]) -> Generation:
    """The generation that a reply says. Raises EngineError for a failure that it tells, and for what is no answer."""
    if unknown := [name for name in reply if name not in _KEYS]:
        raise _no_answer(f"its reply has the key {unknown[0]!r:.60}; known: {', '.join(_KEYS)}")
    if reply.get("error") is not None:
        code = reply.get("code", "application_error")
        raise EngineError(str(code), _text(reply["error"]), retryable=reply.get("retryable") is True)
    if not isinstance(reply.get("text"), str):
        raise _no_answer(f"its reply has no 'text' that is a text, but {list(reply)}")
    values = {name: value for name, value in reply.items() if name in _FIELDS and value is not None}
    usage = values.get("usage", {})
    if not isinstance(usage, dict) or (unknown := [name for name in usage if name not in _COUNTS]):
        raise _no_answer(f"the usage of its reply is {usage!r:.80}; an object with {', '.join(_COUNTS)} was expected")
    values.setdefault("status", _status(values))
    try:
        return Generation.from_dict(values)
    except (TypeError, ValueError) as error:
        raise _no_answer(f"its reply is no generation: {error}") from error


def _status(values: Mapping[str, Any]) -> str:
    if values.get("refusal"):
        return "refused"
    return "answered" if values["text"].strip() or values.get("tool_calls") else "empty"


def _no_answer(told: str) -> EngineError:
    return EngineError("application_error", told)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _told(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace").strip()
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
