"""The numbers of a result, each with the ledger beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

from themis_intervals import decimals
from themis_wording import counted

__all__ = ["GroupRow", "ResultRow", "ledger_told"]


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One number: a metric of a score, for one slice, model, prompt variant and setting."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    score: str
    metric: str
    value: float | None
    """None if nothing was scored."""
    n: int
    """Scores that the value is made of."""
    standard_error: float | None
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    interval: str | None
    """How the interval was found: `wilson`, `wilson_t`, `t`, `jackknife` or `nested`."""
    no_interval: str | None
    """Why there is none: `nothing_scored`, `one_item`, `no_spread` (all scores alike), `not_smooth` (an aggregate that
    a jackknife does not fit), `aggregate_failed`."""
    failed: int
    """Trials without an answer; in no mean."""
    unscored: int
    """Answers that the metric could not score; in no mean."""
    unparsed: int
    """Answers in which the parse found nothing; they are in `n`, as the metric's worst value (an empty one as what the
    metric says of it)."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason to count, of the unscored answers."""
    dimensions: dict[str, str] = field(default_factory=dict)
    planned: int | None = None
    """Trials that should have a score (pairs of item and setting, where `repeats` makes one value of its samples);
    None if that is not known: the run is unfinished, and the group is one of items or samples."""
    worst: float | None = None
    """What the value is if all planned ones without a score get the worst there is; None if the range has no such end,
    or the value is no mean."""
    best: float | None = None
    right: int | None = None
    """How many scores are the best there is, where each is that or the worst."""
    denominator: str = "scored"
    """The spec's policy: `scored`, `parsed` or `planned_missing_worst`."""
    too_unparsed: bool = False
    """Whether the parse found nothing in so many answers, half of them if the spec says nothing else, that the row says
    more of the parse than of the model: the run ends with exit 5."""

    @property
    def group(self) -> dict[str, str | None]:
        """What its trials have in common, by the names of `Results.groups`."""
        return {
            "slice": self.slice_id, "model": self.model_id, "prompt": self.prompt_variant_id, "params": self.params,
        }  # fmt: skip

    def told(self) -> str:
        """The value with its ledger, such as `0.889 (80 of 90 scored; of 100 planned: 0.80 to 0.90)`."""
        return ledger_told(self)


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One number: a metric of a score, for a group of trials, or an aggregate of the spec."""

    group: dict[str, str | None]
    """What the trials have in common, by the names of `by`; None where they lack it. Empty: all trials."""
    score: str
    metric: str
    value: float | None
    n: int
    """Scores that the value is made of; with `repeats`, pairs of item and setting."""
    items: int
    """Items that they are of."""
    standard_error: float | None
    low: float | None
    high: float | None
    interval: str | None
    no_interval: str | None
    """As in `ResultRow`, and `not_alike` (its slices have different metrics or policies, so there is no value),
    `too_few_samples` (fewer than k of every item), `no_best_value`, `no_parse` (of a majority), `missing_group` (a
    part of the aggregate has no value), `no_worst_value` (of what is missing), `planned_unknown` (how many are)."""
    failed: int
    unscored: int
    unparsed: int
    reasons: dict[str, int] = field(default_factory=dict)
    planned: int | None = None
    """Trials that should have a score (pairs of item and setting, where `repeats` makes one value of its samples);
    None if that is not known: the run is unfinished, and the group is one of items or samples."""
    worst: float | None = None
    """What the value is if all planned ones without a score get the worst there is; None if the range has no such end,
    or the value is no mean."""
    best: float | None = None
    right: int | None = None
    """How many scores are the best there is, where each is that or the worst."""
    denominator: str = "scored"
    """The spec's policy: `scored`, `parsed` or `planned_missing_worst`."""
    repeats: str | None = None
    """What the samples of one item make, such as `pass@3`; their mean if None."""
    aggregate: str | None = None
    """Name of the spec's aggregate that this is."""
    weighting: str | None = None
    """Of an aggregate: `micro`, `macro` or `nested_macro`."""
    levels: dict[str, int] = field(default_factory=dict)
    """Of an aggregate of groups: its levels from the inside out, with how many groups of each it is made of."""

    def told(self) -> str:
        """The value with its ledger, such as `0.889 (80 of 90 scored; of 100 planned: 0.80 to 0.90)`."""
        return ledger_told(self)

    def weighed(self) -> str:
        """What counts the same in an aggregate, such as `nested macro mean of 27 groups by slice, in 23 by
        dimensions.task`."""
        mean = f"{(self.weighting or '').replace('_', ' ')} mean"
        if not self.levels:
            return mean
        (inner, count), *outer = self.levels.items()
        if self.weighting == "nested_macro":
            around = "".join(f", in {groups} by {name}" for name, groups in outer)
        else:
            around = "".join(f" and {name}" for name, _ in outer)
        return f"{mean} of {counted(count, 'group')} by {inner}{around}"


def ledger_told(row: ResultRow | GroupRow) -> str:
    """A value, what it is made of, and what it could be if nothing were missing."""
    value = "–" if row.value is None else decimals(row.value)
    scored = (
        f"{row.n} {_NOUNS[row.denominator]}"
        if row.right is None
        else f"{row.right} of {row.n} {_NOUNS[row.denominator]}"
    )
    if row.planned is None or row.planned == row.n:
        return f"{value} ({scored})"
    bounds = "" if row.worst is None or row.best is None else f": {row.worst:.2f} to {row.best:.2f}"
    return f"{value} ({scored}; of {row.planned} planned{bounds})"


_NOUNS = {"scored": "scored", "parsed": "parsed", "planned_missing_worst": "planned, missing ones as the worst"}
