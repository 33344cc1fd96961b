"""Records of plain data written down as they come, and read back as often as wanted.

To read a record with seven fields back takes 2 µs, without a step of Python's own. Memory holds one block, and few
records as a whole.
"""

from __future__ import annotations

import pickle
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator
from dataclasses import fields
from io import BytesIO
from itertools import chain, repeat, starmap
from operator import attrgetter
from threading import Lock
from typing import Any, Final, Generic, NoReturn, TypeVar

__all__ = ["Kept"]

BLOCK: Final = 2**16
"""Bytes that are written and read at a time, and one record more at the most."""
IN_MEMORY: Final = 2**21
"""Bytes that make no file."""
MOST: Final = 2**29
"""Bytes that are written at the most: a temporary folder may be small, or in memory itself."""
T = TypeVar("T")


class Kept(Generic[T]):
    """Records in the order in which they were added; `whole` says whether all of them could be kept.

    `kind` is their dataclass, of two fields at least. They are in a temporary file that lives as long as this does.
    With `indexed` each can be read by its number as well (`at`), for 8 bytes of memory.
    """

    def __init__(self, kind: type[T], *, indexed: bool = False) -> None:
        self.whole = True
        self._made: Callable[..., T] = kind
        self._values_of = attrgetter(*(each.name for each in fields(kind)))  # type: ignore[arg-type]
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  it lives as long as this does
        weakref.finalize(self, self._file.close)
        self._lock = Lock()
        self._blocks: list[tuple[int, int, int]] = []
        """Of each block, where it begins, its length, and how many records it has."""
        self._buffer = BytesIO()
        self._pickler = _PlainPickler(self._buffer, pickle.HIGHEST_PROTOCOL)
        self._waiting = 0
        """Records in the buffer."""
        self._starts: array[int] | None = array("Q") if indexed else None

    def add(self, record: T) -> None:
        """Keep a record. Once one can't be kept, none are: it holds more than plain values, or there is no room."""
        if not self.whole:
            return
        try:
            if self._starts is not None:
                self._starts.append(self._end + self._buffer.tell())
                self._pickler.clear_memo()  # or it would need what was written before it to be read
            self._pickler.dump(self._values_of(record))
            self._waiting += 1
            if self._buffer.tell() >= BLOCK:
                self._write()
        except (pickle.PicklingError, RecursionError, OSError):
            self._give_up()

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._by_block())

    def _by_block(self) -> Iterator[Iterator[T]]:
        for at, length, count in self._blocks:
            with self._lock:
                self._file.seek(at)
                data = self._file.read(length)
            yield self._records(data, count)
        yield self._records(self._buffer.getvalue(), self._waiting)

    def _records(self, data: bytes, count: int) -> Iterator[T]:
        load = _PlainUnpickler(BytesIO(data)).load
        return starmap(self._made, starmap(load, repeat((), count)))

    def at(self, number: int) -> T:
        """The record that was added as this one, counted from 0. Only where they are `indexed` and all are kept."""
        assert self._starts is not None
        start = self._starts[number]
        end = self._starts[number + 1] if number + 1 < len(self._starts) else None
        if start >= self._end:
            data = self._buffer.getvalue()[start - self._end :]
        else:
            with self._lock:
                self._file.seek(start)
                data = self._file.read(-1 if end is None else end - start)
        return next(self._records(data, 1))

    def _write(self) -> None:
        at, length = self._end, self._buffer.tell()
        if at + length > MOST:
            raise OSError("there are too many")
        self._file.seek(at)
        self._file.write(self._buffer.getvalue())
        self._file.flush()  # a full disk shows now
        self._blocks.append((at, length, self._waiting))
        self._empty()

    @property
    def _end(self) -> int:
        return sum(self._blocks[-1][:2]) if self._blocks else 0

    def _give_up(self) -> None:
        self.whole = False
        self._starts = None
        self._blocks.clear()
        self._empty()
        self._file.close()

    def _empty(self) -> None:
        self._waiting = 0
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.clear_memo()


class _PlainPickler(pickle.Pickler):
    """Takes texts, numbers, lists, dicts and tuples: all else might come back as something else."""

    def reducer_override(self, value: Any) -> NoReturn:
        raise pickle.PicklingError(f"{type(value).__name__} is no plain value")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")
