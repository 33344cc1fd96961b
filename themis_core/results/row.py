"""One number of a result, with the ledger beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ResultRow"]


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
    """How the interval was found: `wilson`, `wilson_t`, `t` or `jackknife`."""
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
