"""What a group holds of scores whose metric makes the number itself: each of them, or no more than sums of their parts.

Both hand the metric what it makes the number of: all scores by item, and all but some items for the jackknife.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import accumulate
from random import Random
from typing import NamedTuple, Protocol

from themis_core.components import Judge, Metric
from themis_core.records import Score
from themis_intervals import dealt

__all__ = ["EachScore", "HeldScores", "SumsOfParts", "held_for"]

FEWEST_GROUPS, MOST_HANDED = 20, 200_000
"""Leaving out one item at a time hands each score over as often as there are items: so of many they are left out in
groups, in as many as hand over `MOST_HANDED` scores, but no fewer than `FEWEST_GROUPS`."""
MOST_SUMS = 500
"""Sums that a group holds. So many items are left out one at a time; more of them in so many groups."""

Items = Sequence[Sequence[Score]]


class HeldScores(Protocol):
    """Scores of one group; those of one item are added one after another."""

    problem: str | None
    """Why no number can be made of what was added; None if it can."""

    def add(self, score: Score, *, new_item: bool) -> None: ...

    @property
    def groups(self) -> int:
        """In how many groups items are left out."""

    def whole(self) -> Items: ...

    def left_out(self) -> Iterator[Items]:
        """All but one group of items, for each group."""


def held_for(component: Metric | Judge) -> HeldScores:
    """Nothing yet of what a component is to make its number of."""
    return SumsOfParts() if component.sums_parts else EachScore()


class EachScore:
    """Every score: what a metric needs that may do anything with them."""

    problem: str | None = None

    def __init__(self) -> None:
        self._items: list[list[Score]] = []

    def add(self, score: Score, *, new_item: bool) -> None:
        if new_item:
            self._items.append([])
        self._items[-1].append(score)

    @property
    def groups(self) -> int:
        return min(len(self._items), max(FEWEST_GROUPS, MOST_HANDED // sum(map(len, self._items))))

    def whole(self) -> Items:
        return self._items

    def left_out(self) -> Iterator[Items]:
        group_of = dealt(len(self._items), self.groups)
        for group in range(self.groups):
            yield [item for item, of in zip(self._items, group_of, strict=True) if of != group]


class _Sum(NamedTuple):
    """Of some scores: how many, their values, and their parts."""

    scores: int
    value: float
    parts: tuple[float, ...]

    def plus(self, other: _Sum) -> _Sum:
        """Raises ValueError if the scores do not have the same number of parts."""
        parts = tuple(a + b for a, b in zip(self.parts, other.parts, strict=True))
        return _Sum(self.scores + other.scores, self.value + other.value, parts)

    @property
    def as_items(self) -> Items:
        return [[Score(self.value / self.scores, parts=self.parts)]]


class SumsOfParts:
    """Sums over groups of items, in memory that does not grow: items are dealt to the groups as they come."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self._sums: list[_Sum] = []
        self._places = list(range(MOST_SUMS))
        self._items = 0
        self._random = Random(0)

    def add(self, score: Score, *, new_item: bool) -> None:
        if new_item:
            if self._items and self._items % MOST_SUMS == 0:
                self._random.shuffle(self._places)  # each round anew: in an order of the items a pattern may hide
            self._items += 1
        place = self._places[(self._items - 1) % MOST_SUMS]
        added = _Sum(1, score.value or 0.0, score.parts)
        if place == len(self._sums):
            self._sums.append(added)
        elif len(added.parts) == len(self._sums[place].parts):
            self._sums[place] = self._sums[place].plus(added)
        if len(added.parts) != len(self._sums[0].parts):
            self.problem = "its scores have unlike numbers of `parts`, which can't be added up: see `sums_parts`"

    @property
    def groups(self) -> int:
        return len(self._sums)

    def whole(self) -> Items:
        return reduce(_Sum.plus, self._sums).as_items

    def left_out(self) -> Iterator[Items]:
        before = [None, *accumulate(self._sums, _Sum.plus)]
        after = [None, *accumulate(reversed(self._sums), _Sum.plus)][::-1]
        for head, tail in zip(before, after[1:], strict=False):
            if (rest := head.plus(tail) if head and tail else head or tail) is not None:
                yield rest.as_items
