"""Streamed replies: the events of one become the reply that would have come whole.

What is broken off is a failure and no cut answer: an answer counts once each choice has its finish reason, or the
server says that the stream is done. No I/O.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from themis_core import EngineError
from themis_http import Dialect, EventReader, Redaction, ServerEvent, inner_error, json_object

__all__ = ["CompletionStream", "Stream"]

DONE = b"[DONE]"
_HALF = rb"\ud"
"""Of a character that takes two escapes in JSON, which may have come in two pieces, is half; read again, it is one."""


class Stream(ABC):
    """Takes the pieces of one reply. A server that answers with one JSON object all the same is understood too."""

    def __init__(self, redaction: Redaction, dialect: Dialect, url: str) -> None:
        self._redaction, self._dialect, self._url = redaction, dialect, url
        self._reader = EventReader()
        self._whole: list[bytes] | None = None
        self._begun = False
        self._done = False
        self._heard = False

    def take(self, piece: bytes) -> bool:
        """Take a piece; whether no more is to be waited for. Raises EngineError for an error that the server sends."""
        if not self._begun and (beginning := piece.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]):
            self._begun = True
            if beginning in b"{[<":
                self._whole = []
        if self._whole is not None:
            self._whole.append(piece)
            return False
        return any(self._event(event) for event in self._reader.feed(piece))

    def reply(self) -> dict[str, Any]:
        """What the stream said, in the form of a reply that comes whole. Raises EngineError if it was broken off."""
        if self._whole is not None:
            content = self._redaction.answer(b"".join(self._whole))
            return json_object(content, self._redaction, self._url, dialect=self._dialect)
        try:
            for event in self._reader.close():
                self._event(event)
        except EngineError:
            if not self.complete:
                raise
        if not self.complete:
            message = "the stream of the reply ended before the answer did"
            raise EngineError("connection", message, retryable=True, status=200, unknown_outcome=True)
        said = self.said()
        if (found := self._dialect.error_within(said)) is not None:
            raise inner_error(found, {}, self._redaction, self._url, self._dialect)
        content = json.dumps(said).encode("ascii")  # numbers that are not finite are for who reads the reply
        clean = self._redaction.answer(content)
        if clean == content and _HALF not in content:
            return said
        return dict(json.loads(clean))

    @property
    def complete(self) -> bool:
        """Whether the answer is whole, whatever becomes of the rest of the stream."""
        return self._done or self.ended()

    def _event(self, event: ServerEvent) -> bool:
        if event.data.strip() == DONE:
            self._done = True
            return True
        if not event.data.strip():
            return False
        try:
            data = json.loads(event.data)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            message = "the reply's stream has an event that is no JSON object"
            raise EngineError("invalid_reply", message, retryable=True, status=200, unknown_outcome=True)
        found = self._dialect.error_within(data)
        if found is not None or event.name == "error":
            error = inner_error(data if found is None else found, {}, self._redaction, self._url, self._dialect)
            # What came before it was made, and may be billed.
            error.unknown_outcome |= self._heard and error.usage is None
            raise error
        self._heard = True
        return self.add(data)

    @abstractmethod
    def add(self, data: dict[str, Any]) -> bool:
        """Take the JSON of an event; whether it is the last that matters."""

    @abstractmethod
    def ended(self) -> bool:
        """Whether the events say that the answer is whole."""

    @abstractmethod
    def said(self) -> dict[str, Any]:
        """All of it, once it is complete."""


class CompletionStream(Stream):
    """Chunks of chat completions or of text completions."""

    def __init__(self, redaction: Redaction, dialect: Dialect, url: str, *, choices: int = 1) -> None:
        super().__init__(redaction, dialect, url)
        self._most = choices
        self._head: dict[str, Any] = {}
        self._chunks: dict[int, list[dict[str, Any]]] = {}
        self._ended: set[int] = set()

    def add(self, data: dict[str, Any]) -> bool:
        choices = data.pop("choices", None) or []
        self._head.update({name: value for name, value in data.items() if value is not None})
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            index = index if isinstance(index, int) else 0
            self._chunks.setdefault(index, []).append(choice)
            if choice.get("finish_reason"):
                self._ended.add(index)
        return False

    def ended(self) -> bool:
        return len(self._ended) >= self._most and self._ended == self._chunks.keys()

    def said(self) -> dict[str, Any]:
        choices = [self._choice(index, chunks) for index, chunks in sorted(self._chunks.items())]
        groq = self._head.get("x_groq")  # where Groq counts tokens
        counted = {"usage": groq["usage"]} if isinstance(groq, dict) and "usage" in groq else {}
        return counted | self._head | {"choices": choices}

    def _choice(self, index: int, chunks: list[dict[str, Any]]) -> dict[str, Any]:
        # Some servers name what they add a message, as in replies that are not streamed.
        deltas = [each for chunk in chunks if isinstance(each := chunk.get("delta") or chunk.get("message"), dict)]
        rest = [{name: value for name, value in chunk.items() if name not in ("delta", "message")} for chunk in chunks]
        choice = _joined(rest) | {"index": index}
        if "text" in choice and not deltas:
            return choice
        message = _joined([{name: value for name, value in each.items() if name != "tool_calls"} for each in deltas])
        if calls := _tool_calls(deltas):
            message["tool_calls"] = calls
        return choice | {"message": {"content": None} | message}


_ONCE = frozenset({"finish_reason", "format", "id", "index", "name", "object", "role", "stop_reason", "type"})
"""Texts that are told, once or with each chunk, and not in pieces."""
_LATEST = frozenset({"content_filter_results"})
"""Objects that are told anew with each chunk: nothing in them is a piece of anything."""


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Objects that were sent in pieces as one: texts and lists are put together, of anything else the last counts."""
    found: dict[str, list[Any]] = {}
    for part in parts:
        for name, value in part.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: _one(name, values) for name, values in found.items()}


def _one(name: str, values: list[Any]) -> Any:
    if all(isinstance(each, str) for each in values):
        return next((each for each in reversed(values) if each), "") if name in _ONCE else "".join(values)
    if all(isinstance(each, str | list) for each in values):  # Mistral sends reasoning as parts, and the rest as texts
        return _in_order(part for each in values for part in _as_parts(each))
    if all(isinstance(each, dict) for each in values):
        if name in _LATEST:
            return {key: value for each in values for key, value in each.items()}
        return _joined(values)
    return values[-1]


def _as_parts(content: str | list[Any]) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _in_order(entries: Iterable[Any]) -> list[Any]:
    """Entries of a list; those of the same number and type, such as OpenRouter's reasoning, are pieces of one."""
    pieces: dict[Any, list[Any]] = {}
    for place, entry in enumerate(entries):
        number = entry.get("index") if isinstance(entry, dict) else None
        key = (number, str(entry.get("type"))) if isinstance(number, int) else place
        pieces.setdefault(key, []).append(entry)
    return [each[0] if len(each) == 1 else _joined(each) for each in pieces.values()]


def _tool_calls(deltas: list[dict[str, Any]]) -> list[Any]:
    """Tool calls, whose pieces have the number of the call they belong to, or are whole and have none."""
    calls: list[list[dict[str, Any]]] = []
    numbered: dict[int, list[dict[str, Any]]] = {}
    for delta in deltas:
        pieces = delta.get("tool_calls")
        for piece in pieces if isinstance(pieces, list) else ():
            if not isinstance(piece, dict):
                raise EngineError("invalid_reply", "tool_calls is not a list of objects", status=200)
            number = piece.get("index")
            call = numbered.get(number) if isinstance(number, int) else calls[-1] if calls else None
            if call is None or _begins_another(piece, call):
                call = []
                calls.append(call)
            if isinstance(number, int):
                numbered[number] = call
            call.append({name: value for name, value in piece.items() if name != "index"})
    return [_joined(pieces) for pieces in calls]


def _begins_another(piece: dict[str, Any], call: list[dict[str, Any]]) -> bool:
    """Whether a piece is of another call, though it has no number, or that of this one: Gemini numbers all with 0."""
    id_, known = piece.get("id"), next((each["id"] for each in call if each.get("id")), None)
    if not id_ or id_ == known:
        return False
    function = piece.get("function")  # some servers make up an id for each piece, but name the function once
    return "index" not in piece or (isinstance(function, dict) and bool(function.get("name")))
