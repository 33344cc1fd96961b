"""Records that wait in a temporary file: memory holds where each of them stands."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from typing import Generic, TypeVar

__all__ = ["Parked"]

T = TypeVar("T")

IN_MEMORY = 2**22
"""Bytes that make no file."""


class Parked(Generic[T]):
    """Keeps what can be pickled, for as long as it lives; each is read back by its place, in any order."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  it lives as long as this does
        weakref.finalize(self, self._file.close)
        self._end = 0

    def add(self, record: T) -> int:
        """Keep a record; return its place."""
        at, data = self._end, pickle.dumps(record, pickle.HIGHEST_PROTOCOL)
        self._file.seek(at)
        self._file.write(len(data).to_bytes(8, "big") + data)
        self._end = self._file.tell()
        return at

    def at(self, place: int) -> T:
        """The record at a place."""
        self._file.seek(place)
        length = int.from_bytes(self._file.read(8), "big")
        record: T = pickle.loads(self._file.read(length))
        return record
