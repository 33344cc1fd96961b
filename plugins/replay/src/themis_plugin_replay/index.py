"""Where recorded rows are, by a hash of what each answers: 20 bytes of memory for each row.

It knows no file. Another row may have the same hash, so who looks has to read the row.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby
from operator import eq
from typing import Final, TypeAlias

__all__ = ["MAX_ROWS_PER_KEY", "Index", "Spot"]

MAX_ROWS_PER_KEY: Final = 100
"""Most rows of one model, item and sample, told apart by `match`: each is read to find the right one."""
PARTS: Final = 256
"""By hash, each sorted by itself: to sort all at once would take four times the memory of the index."""
Spot: TypeAlias = tuple[int, int]
"""Place and length of a row, both as they were added; places rise from row to row."""


class _Part:
    __slots__ = ("keys", "lengths", "matches", "places")

    def __init__(self) -> None:
        # A dict of hashes and places would take five times the memory.
        self.keys, self.matches = array("q"), array("q")
        self.places, self.lengths = array("Q"), array("I")

    def sort(self) -> None:
        order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
        for name in self.__slots__:
            values = getattr(self, name)
            setattr(self, name, array(values.typecode, map(values.__getitem__, order)))

    def suspects(self) -> Iterator[tuple[Spot, Spot]]:
        if not any(map(eq, self.keys, self.keys[1:])):
            return
        spots = list(zip(self.places, self.lengths, strict=True))
        for _, group in groupby(range(len(self.keys)), self.keys.__getitem__):
            known: dict[int, list[int]] = {}
            for count, row in enumerate(group):
                yield from ((spots[row], spots[earlier]) for earlier in known.get(self.matches[row], ()))
                if count == MAX_ROWS_PER_KEY:
                    yield spots[row], spots[row]
                    break
                known.setdefault(self.matches[row], []).append(row)


class Index:
    """Rows by hash: all are added, then it is sorted once, then they are found."""

    def __init__(self) -> None:
        self._parts = [_Part() for _ in range(PARTS)]

    def add(self, key: int, match: int, place: int, length: int) -> None:
        """Note a row by the hash of what it answers, and that of the text by which rows for the same are told apart."""
        part = self._parts[key % PARTS]
        part.keys.append(key)
        part.matches.append(match)
        part.places.append(place)
        part.lengths.append(length)

    def sort(self) -> list[tuple[Spot, Spot]]:
        """Make it one that can be searched.

        Gives each row whose hashes are those of an earlier one, with that one, and each that is one too many of its
        key, with itself; in the order of the rows.
        """
        found: list[tuple[Spot, Spot]] = []
        for part in self._parts:
            part.sort()
            found += part.suspects()
            del part.matches[:]
        return sorted(found)

    def of(self, key: int) -> list[Spot]:
        """The rows with a hash, in their order."""
        part = self._parts[key % PARTS]
        at = bisect_left(part.keys, key)
        found = []
        while at < len(part.keys) and part.keys[at] == key:
            found.append((part.places[at], part.lengths[at]))
            at += 1
        return found
