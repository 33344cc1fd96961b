"""One side compared with another: its numbers, and its verdict in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from themis_core import counted
from themis_intervals import decimals
from themis_plugin_stats.procedures import FEWEST_UNITS

__all__ = ["EXIT_CODES", "Pair", "Verdict", "begun", "round_up"]

Verdict: TypeAlias = Literal["better", "worse", "equivalent", "inconclusive"]
EXIT_CODES: Final[dict[Verdict, int]] = {"better": 0, "equivalent": 0, "worse": 1, "inconclusive": 10}
"""What `themis compare` exits with. 10 is no exit code of any other command."""
_NO_INTERVAL: Final = {"no_spread": "all items differ alike", "too_few": "there are too few "}


@dataclass(slots=True)
class Pair:
    """B compared with A, in one metric."""

    a: str
    b: str
    score: str
    metric: str
    value_a: float | None
    value_b: float | None
    difference: float | None
    """B minus A."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the difference, of this comparison alone; None where there is no bound."""
    low_90: float | None
    high_90: float | None
    """Ends of the 90 % interval, each a one-sided bound of 95 %."""
    p_value: float
    p_corrected: float
    """For as many comparisons as were made together."""
    p_equivalent: float | None
    """Of a difference of the margin or more, corrected; None without a margin."""
    n: int
    """Items that were compared: those that both sides have a score of."""
    units: int
    """What was taken as independent: items, or clusters of them."""
    method: str
    higher_is_better: bool
    verdict: Verdict
    smallest: float | None
    """The true difference that so many items would show four times out of five; None if they could show none, whatever
    it is, or nothing tells how far they spread."""
    items_needed: int | None
    """How many items would decide, four times out of five, if the difference is as it seems; None if too many."""
    won: int
    lost: int
    """Items on which B has the better, or the worse, score."""
    ledger_a: dict[str, Any]
    ledger_b: dict[str, Any]
    flips_a: float | None = None
    flips_b: float | None = None
    """The share of items of which two answers of A, or of B, would differ in their score; None with one sample."""
    per_item: float = 1.0
    """Scores of each side that an item's number is the mean of, samples not counted: prompts, settings, slices."""
    unmatched: list[str] = field(default_factory=list)
    """Slices, prompts, settings or models of one side alone: nothing of them is compared."""
    no_interval: str | None = None
    """Why there is no interval: `no_spread`, all items differ alike; `too_few`, so few that any difference may be."""

    @property
    def name(self) -> str:
        return f"{self.score}/{self.metric}"

    def sentence(self, margin: float | None = None, *, directed: bool = True) -> str:
        """The verdict, in words: of B compared with A; or of the better one, if neither is the one to compare with."""
        if self.verdict == "worse" and not directed:
            return self._turned().sentence(margin)
        if self.difference is None:
            said = f"{self.b} and {self.a} have no item in common, so nothing can be said of {self.name}"
            if not self.unmatched:
                return f"{said}: an item is the same only if all its content is"
            return f"{said}: one side alone has {', '.join(self.unmatched)}; name a part of each, such as RUN:slice=ID"
        numbers = f"{self._by()} ({self._interval()}, p {_p(self.p_corrected)}, n = {self.n})"
        if self.verdict == "equivalent":
            return f"{self.b} is equivalent to {self.a} within {margin:g}: {self.name} is {numbers}"
        if self.verdict in ("better", "worse"):
            return f"{self.b} is {self.verdict} than {self.a}: {self.name} is {numbers}"
        said = f"it can't be said which of {self.a} and {self.b} is better"
        return f"{said}: {self.name} of {self.b} is {numbers}; {self._what_would_do()}"

    def _turned(self) -> Pair:
        low, high = (None if end is None else -end for end in (self.high, self.low))
        difference = None if self.difference is None else -self.difference
        return replace(self, a=self.b, b=self.a, difference=difference, low=low, high=high, verdict="better")

    def _by(self) -> str:
        difference = self.difference or 0.0
        if not difference:
            return "the same"
        return f"{_short(abs(difference))} {'higher' if difference > 0 else 'lower'}"

    def _interval(self) -> str:
        if self.no_interval is not None:
            units = "" if self.no_interval == "no_spread" else "items" if self.units == self.n else "clusters"
            return f"no 95 % interval, as {_NO_INTERVAL[self.no_interval]}{units}"
        return f"95 % interval {_ends(self.low, self.high)}"

    def _what_would_do(self) -> str:
        could = "" if self.smallest is None else f"{counted(self.n, 'item')} could show {_short(self.smallest)}"
        if self.units < FEWEST_UNITS:
            what = counted(self.n, "item") if self.units == self.n else counted(self.units, "cluster")
            could = f"{what} could show no difference, however large"
        if self.items_needed is not None and self.items_needed > self.n:
            more = f"if it is as it seems, some {round_up(self.items_needed):,} items would decide"
            return f"{could}; {more}" if could else more
        return could or (
            "there is nothing to judge by" if self.difference or self.won or self.lost else "no item differs"
        )


def begun(text: str) -> str:
    """A sentence that begins with a word of ours has a capital; a name stays as it is."""
    return text[0].upper() + text[1:] if text.startswith("it can't") else text


def _ends(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "unknown"
    return f"{'−∞' if low is None else decimals(low, sign='+')} to {'∞' if high is None else decimals(high, sign='+')}"


def _short(value: float) -> str:
    return decimals(value) if abs(value) < 10 else f"{value:.2f}"


def _p(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.0005 else f"= {value:.1e}" if value >= 1e-12 else "< 1e-12"


def round_up(count: int) -> int:
    """Two digits are all that is known of it."""
    if count < 100:
        return count
    unit = int(10 ** (len(str(count)) - 2))
    return -(-count // unit) * unit
