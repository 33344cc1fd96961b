"""Requests that wait for their batch's answers, in a temporary file: memory holds where each of them stands."""

from __future__ import annotations

import pickle
import tempfile
import weakref

from themis_core.records import Request

__all__ = ["RequestFile"]

IN_MEMORY = 2**22
"""Bytes that make no file."""


class RequestFile:
    """Keeps requests for as long as it lives."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  it lives as long as this does
        weakref.finalize(self, self._file.close)
        self._end = 0

    def add(self, request: Request) -> int:
        """Keep a request; return its place."""
        at, data = self._end, pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
        self._file.seek(at)
        self._file.write(len(data).to_bytes(8, "big") + data)
        self._end = self._file.tell()
        return at

    def at(self, place: int) -> Request:
        """The request at a place."""
        self._file.seek(place)
        length = int.from_bytes(self._file.read(8), "big")
        request: Request = pickle.loads(self._file.read(length))
        return request
