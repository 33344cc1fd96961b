"""Extractors and metrics: what an answer says, and what it is worth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from themis_core.components.base import Component
from themis_core.records import (
    Extraction,
    Generation,
    Item,
    Score,
)

__all__ = ["Extractor", "Metric", "Scoring", "ToScore"]


class Extractor(Component):
    """Finds a value in a text."""

    rewrites: ClassVar[bool] = False
    """True if it gives back the whole text, changed, as `extract/normalized` does. Of an answer that was cut off at a
    length limit, that is what there is. What others find there counts only if it would be the same had the text gone
    on; else the reason is `cut_off`."""

    @abstractmethod
    def extract(self, text: str) -> Extraction:
        """Return what the text holds, or the reason why not; never raise on any text, and return in bounded time.

        The reason `extractor_timeout` says that the bound was reached: what the text holds could not be decided. It
        ends the parse, and the score is missing until a later run can decide. So does an exception, with reason
        `extractor_error` (a TimeoutError: `extractor_timeout`).
        """


class Scoring(Component):
    """What a metric and a judge have in common: the range of their scores, and what is made of many."""

    lowest: ClassVar[float | None] = 0.0
    """Least value a score can have; None if unbounded."""
    highest: ClassVar[float | None] = 1.0
    """Greatest value a score can have; None if unbounded."""
    higher_is_better: ClassVar[bool] = True
    """Which end of the range is the good one."""
    aggregates_mean: ClassVar[bool] = True
    """False if `aggregate` is overridden: then the standard error of the mean is not its own."""
    aggregates_smoothly: ClassVar[bool] = False
    """True if such an `aggregate` is a smooth function of sums over items, as that of BLEU is and a median is not: then
    its standard error and interval come from calling it again without some of the items each time (jackknife)."""
    sums_parts: ClassVar[bool] = False
    """True if such an `aggregate` needs no more than the sums of the scores' `parts`, as that of BLEU does. A group of
    any size is then held as sums: `aggregate` is handed one score for many, their mean, with the sums as its parts.
    All scores must have the same number of parts."""

    @property
    def fewest_samples(self) -> int:
        """How many samples of each item the number takes, such as k for pass@k; a spec that draws fewer is refused."""
        return 1

    def unscorable(self, item: Item) -> str | None:
        """Return why no answer to an item can be scored, such as `no_reference` or `bad_reference`; None if any can be.

        Called for every item before the run, which says it before a call is paid for, and before each score: an item
        with a reason is unscored whatever the answer is, right, wrong, empty, refused or unparsed.
        """
        return None

    def empty(self, item: Item, generation: Generation) -> Score:
        """Return the score of an answer without text: `worst` by default. Override it if no text can be right.

        It is put to no judge.
        """
        return self.worst(item, generation)

    def worst(self, item: Item, generation: Generation) -> Score:
        """Return the score of an answer that was refused or unparsed: the bad end of the range by default.

        It is put to no judge.
        """
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

    def aggregate_items(self, items: Sequence[Sequence[Score]]) -> float | None:
        """Return one number for the scored scores of each item; by default `aggregate` of them all.

        Override it instead where it matters which scores are samples of one item, as for pass@k. Where
        there is none, log a warning that says why, and return None. Only called if `aggregates_mean` is False.
        """
        return self.aggregate([score for item in items for score in item])


class ToScore(NamedTuple):
    """One answer as `Metric.score` is handed it."""

    item: Item
    generation: Generation
    value: Any


class Metric(Scoring):
    """Scores one answer against its item."""

    batch_size: ClassVar[int] = 1
    """How many answers `score_batch` takes at most. With more than one the run calls it instead of `score`, with those
    that are there."""

    @abstractmethod
    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        """Score one answer; `value` is what the parse found, or the raw text if the score has no parse.

        Return a finite number in the range, or `Score(reason=...)` where it can't be scored (`too_long`). A number
        outside of the range leaves the answer unscored (`out_of_range`). Not called for items that are `unscorable`,
        nor for answers without text. Runs where `runs_in` says, for no longer than `seconds_per_call`. An exception
        becomes an unscored score with reason `metric_error` (a TimeoutError: `metric_timeout`).
        """

    def score_batch(self, answers: Sequence[ToScore]) -> Sequence[Score]:
        """Score up to `batch_size` answers, one score for each in their order, as `score` would.

        For models that score many answers in little more time than one. If it fails for several, they are scored again
        in halves, so that only the one at fault has no score.
        """
        return [self.score(*each) for each in answers]
