"""Sums of the parts of each item's scores: all that a metric such as BLEU needs of them, in 8 bytes for each number.

An item takes 16 bytes and 8 for each part: 96 of BLEU, which has 10 parts.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from themis_core import Score

__all__ = ["ItemSums"]


class ItemSums:
    """A row for each item: how many scores, the sum of their values, the sums of their parts."""

    def __init__(self) -> None:
        self._numbers = array("d")
        self._width = 0
        self.problem: str | None = None
        """Why nothing can be made of what was added; None if it can."""

    @classmethod
    def of(cls, items: Sequence[Sequence[Score]]) -> ItemSums:
        """Of scores that are held one by one."""
        made = cls()
        for scores in items:
            for place, score in enumerate(scores):
                made.add(score.value or 0.0, score.parts, new_item=place == 0)
        return made

    def add(self, value: float, parts: Sequence[float], *, new_item: bool) -> None:
        """Add a score; those of an item follow each other."""
        row = (1.0, value, *parts)
        self._width = self._width or len(row)
        if len(row) != self._width:
            self.problem = "its scores have unlike numbers of `parts`, which can't be added up: see `sums_parts`"
        elif new_item:
            self._numbers.extend(row)
        else:
            for place, number in enumerate(row, len(self._numbers) - self._width):
                self._numbers[place] += number

    def whole(self, items: NDArray[np.int64]) -> Sequence[Sequence[Score]]:
        """These items, some perhaps several times, as one score for all, as `aggregate_items` takes it."""
        rows = np.frombuffer(self._numbers, dtype=np.float64).reshape(-1, self._width)
        count, value, *parts = (np.bincount(items, minlength=len(rows)).astype(np.float64) @ rows).tolist()
        return [[Score(value / count, parts=tuple(parts))]]
