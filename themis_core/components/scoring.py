"""Extractors and metrics: what an answer says, and what it is worth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from themis_core.components.base import Component
from themis_core.records import (
    Extraction,
    Generation,
    Item,
    Score,
)

__all__ = ["Extractor", "Metric"]


class Extractor(Component):
    """Finds a value in a text."""

    @abstractmethod
    def extract(self, text: str) -> Extraction:
        """Return what the text holds, or the reason why not; never raise on any text, and return in bounded time.

        The reason `extractor_timeout` says that the bound was reached: what the text holds could not be decided. It
        ends the parse, and the score is missing until a later run can decide. So does an exception, with reason
        `extractor_error` (a TimeoutError: `extractor_timeout`).
        """


class Metric(Component):
    """Scores one answer against its item."""

    lowest: ClassVar[float | None] = 0.0
    """Least value a score can have; None if unbounded."""
    highest: ClassVar[float | None] = 1.0
    """Greatest value a score can have; None if unbounded."""
    higher_is_better: ClassVar[bool] = True
    """Which end of the range is the good one."""
    aggregates_mean: ClassVar[bool] = True
    """False if `aggregate` is overridden: then no standard error of the mean is shown."""

    @abstractmethod
    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        """Score one answer; `value` is what the parse found, or the raw text if the score has no parse.

        Return a finite number, or `Score(reason=...)` where it can't be scored (`no_reference`). Runs in the event
        loop's thread; an exception becomes an unscored score with reason `metric_error` (a TimeoutError:
        `metric_timeout`).
        """

    def worst(self, item: Item, generation: Generation) -> Score:
        """Return the score of an answer that was refused, empty or unparsed: the bad end of the range by default."""
        end = self.lowest if self.higher_is_better else self.highest
        return Score(reason="no_worst_value") if end is None else Score(value=end)

    def aggregate(self, scores: Iterable[Score]) -> float | None:
        """Return one number for a group of scored scores (None if there is none); the mean by default."""
        total, count = 0.0, 0
        for score in scores:
            if score.value is not None:
                total += score.value
                count += 1
        return total / count if count else None
