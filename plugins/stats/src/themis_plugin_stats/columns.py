"""One number for each item, as columns: in memory while they are few, beyond that in a temporary file.

The file holds blocks that are sorted by the first byte of the items' digests, so that the items of one byte can be read
alone: a part. An item is in the same part whatever cell it is in, and however much of its digest is kept.
"""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from themis_core import StorageError, shown_path

__all__ = ["DIGITS", "PARTS", "WHOLE", "Columns", "Digests", "ItemMeans", "Overflow"]

DIGITS: Final = 32
"""Of an item's SHA-256: 16 bytes tell items apart, and half as many are kept."""
WHOLE: Final = 64
"""All of its digits, which the store is asked by."""
PARTS: Final = 256
BLOCK = 2**16
"""Items of a cell that make a block."""
ROOM = 2**17
"""Items of all cells of a run that may stay in memory, beside a block that is not full."""
Digests: TypeAlias = NDArray[np.bytes_]


class Columns(NamedTuple):
    """The items of a cell, or those of one part: a row for each."""

    digests: Digests
    """The beginning of each item's SHA-256, its last zero bytes cut off, as numpy does."""
    means: NDArray[np.float64]
    counts: NDArray[np.float64]
    """Samples of each item."""
    within: NDArray[np.float64]
    """Sum of squares of the samples around their item's mean."""


class Overflow:
    """The temporary file of one run; it is made when it is needed, and gone when nothing refers to this."""

    def __init__(self) -> None:
        self.room = ROOM
        """Items that may still stay in memory."""
        self._file: BinaryIO | None = None
        self._end = 0

    def write(self, records: NDArray[Any]) -> int:
        """Write records, and return where they begin. Raises StorageError if there is no room for them."""
        at = self._end
        with _told():
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  it lives as long as this does
                weakref.finalize(self, self._file.close)
            self._file.seek(at)
            left = memoryview(records.tobytes())
            while left:
                left = left[self._file.write(left) :]
        self._end += records.nbytes
        return at

    def read(self, at: int, count: int, kind: np.dtype[Any]) -> NDArray[Any]:
        """So many records from a place on."""
        assert self._file is not None
        with _told():
            self._file.seek(at)
            return np.frombuffer(self._file.read(count * kind.itemsize), kind, count)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = f" in {shown_path(Path(tempfile.tempdir))}" if tempfile.tempdir else ""
        raise StorageError(
            f"can't keep scores in a temporary file{folder}: {error.strerror or error}. Free some space there, or name "
            "another folder by the environment variable TMPDIR; then run the same command again"
        ) from error


class ItemMeans:
    """Of each item its digest, the mean of its samples, how many there are, and their squares around the mean.

    Without an `overflow` all stay in memory.
    """

    def __init__(self, digits: int = DIGITS, overflow: Overflow | None = None) -> None:
        self.digits = digits
        """Of the items' digests that are kept."""
        self.has_several = False
        """Whether an item has several samples."""
        self._overflow = overflow
        self._blocks: list[tuple[int, NDArray[np.uint32]]] = []
        """Of each block, where it begins in the file, and the record at which each part begins; then its length."""
        self._written = 0
        self._kind = np.dtype([("digest", f"S{digits // 2}"), ("mean", "f8"), ("count", "f8"), ("within", "f8")])
        self._clear()

    def _clear(self) -> None:
        self._digests = bytearray()
        self._means = array("d")
        self._counts = array("l")
        """Empty for as long as each item has one sample, and so is the next one."""
        self._within = array("d")

    def __len__(self) -> int:
        return self._written + len(self._means)

    @property
    def in_parts(self) -> bool:
        """Whether there are too many to be read but by parts."""
        return bool(self._blocks)

    def add(self, digest: str, value: float) -> None:
        """Add the first sample of an item."""
        if self._overflow is not None and len(self._means) >= BLOCK:
            self._write(self._overflow)
        self._digests += bytes.fromhex(digest[: self.digits])
        self._means.append(value)
        if self._counts:
            self._counts.append(1)
            self._within.append(0.0)

    def add_sample(self, value: float) -> None:
        """Add a further sample of the item that was added last."""
        if not self._counts:
            self.has_several = True
            self._counts = array("l", [1]) * len(self._means)
            self._within = array("d", [0.0]) * len(self._means)
        # Welford 1962: mean and squares in one pass.
        self._counts[-1] += 1
        off = value - self._means[-1]
        self._means[-1] += off / self._counts[-1]
        self._within[-1] += off * (value - self._means[-1])

    def settle(self) -> None:
        """When all are added: write those for which memory has no room beside those of other cells."""
        if self._overflow is None:
            return
        if self._blocks or len(self._means) > self._overflow.room:
            self._write(self._overflow)
        else:
            self._overflow.room -= len(self._means)

    def of(self, part: int | None = None) -> Columns:
        """The columns of all items, or of one part of them. Raises StorageError if they can't be read."""
        held = self._held()
        if part is not None:
            here = np.flatnonzero(_parts_of(held.digests) == part)
            held = Columns._make(each[here] for each in held)
        if self._overflow is None or not self._blocks:
            return held
        first, last = (0, PARTS) if part is None else (part, part + 1)
        records = []
        for at, starts in self._blocks:
            begin, end = int(starts[first]), int(starts[last])
            records.append(self._overflow.read(at + begin * self._kind.itemsize, end - begin, self._kind))
        found = np.concatenate(records)
        names = self._kind.names or ()
        return Columns._make(np.concatenate([found[name], each]) for name, each in zip(names, held, strict=True))

    def without(self, digests: Iterable[str]) -> list[str]:
        """Those of the digests that no item here has."""
        by_part: dict[int | None, list[str]] = {}
        for digest in digests:
            by_part.setdefault(int(digest[:2], 16) if self.in_parts else None, []).append(digest)
        found = []
        for part, wanted in by_part.items():
            begun = [bytes.fromhex(each[: self.digits]) for each in wanted]
            here = np.isin(np.array(begun, self._kind["digest"]), self.of(part).digests)
            found += [each for each, is_here in zip(wanted, here.tolist(), strict=True) if not is_here]
        return found

    def _held(self) -> Columns:
        means = np.frombuffer(self._means, dtype=np.float64)
        return Columns(
            np.frombuffer(self._digests, dtype=self._kind["digest"]),
            means,
            np.asarray(self._counts, dtype=np.float64) if self._counts else np.ones(len(means)),
            np.frombuffer(self._within, dtype=np.float64) if self._within else np.zeros(len(means)),
        )

    def _write(self, overflow: Overflow) -> None:
        held = self._held()
        parts = _parts_of(held.digests)
        order = np.argsort(parts, kind="stable")
        records = np.empty(len(order), self._kind)
        for name, each in zip(self._kind.names or (), held, strict=True):
            records[name] = each[order]
        starts = np.searchsorted(parts[order], np.arange(PARTS + 1)).astype(np.uint32)
        self._blocks.append((overflow.write(records), starts))
        self._written += len(order)
        self._clear()


def _parts_of(digests: Digests) -> NDArray[np.uint8]:
    return digests.view(np.uint8).reshape(-1, digests.itemsize)[:, 0]
