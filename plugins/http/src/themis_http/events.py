"""Server-sent events, as they come in pieces. No I/O, and nothing of what the events say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["EventReader", "ServerEvent"]


class ServerEvent(NamedTuple):
    """One event: the name that it was given, and its data, whose lines are joined."""

    name: str
    data: bytes


class EventReader:
    """Takes the pieces of a stream and gives the events that are complete; comments and what else there is go by."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._looked = 0
        self._name = ""
        self._data: list[bytes] = []
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that a piece completes."""
        self._rest += piece
        # What was looked at has no end of line: a line of many pieces is not searched again with each.
        end = self._rest.rfind(b"\n", self._looked)
        if end < 0:
            self._looked = len(self._rest)
            return
        lines = bytes(self._rest[:end]).split(b"\n")
        del self._rest[: end + 1]
        self._looked = len(self._rest)
        for line in lines:
            yield from self._line(line.removesuffix(b"\r"))

    def close(self) -> Iterator[ServerEvent]:
        """The event that the end of the stream completes: some servers send no empty line after the last."""
        line = bytes(self._rest).removesuffix(b"\r")
        self._rest.clear()
        yield from self._line(line)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[ServerEvent]:
        if not self._begun:
            line, self._begun = line.removeprefix(b"\xef\xbb\xbf"), True
        if not line:
            if self._data:
                yield ServerEvent(self._name, b"\n".join(self._data))
            self._name, self._data = "", []
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.strip().decode("utf-8", "replace")[:100]
