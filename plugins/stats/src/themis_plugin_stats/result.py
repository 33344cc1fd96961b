"""What a comparison found: pairs with their verdicts, groups, and what is said of them all. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from themis_core import counted
from themis_plugin_stats.multiple import Correction, groups_of
from themis_plugin_stats.showing import Table, as_markdown, as_text, caveats_of, ledgers_of, notes_of, rows_of
from themis_plugin_stats.verdicts import EXIT_CODES, Pair, Verdict, begun

__all__ = ["Comparison"]


@dataclass(slots=True)
class Comparison:
    """All pairs that were compared together."""

    pairs: list[Pair]
    sides: list[str]
    by: str
    baseline: str | None
    """The side that the others were compared with; None if each was compared with each."""
    margin: float | None
    correction: Correction
    cluster: str | None
    unpaired: bool
    differs: list[dict[str, Any]] = field(default_factory=list)
    """What else differs between the sides: `what`, and what it is on each side, `a` and `b`."""
    unfinished: dict[str, str] = field(default_factory=dict)
    """Runs that are not completed, and what they are instead: failed, interrupted, stopped, died."""
    missing: dict[str, int] = field(default_factory=dict)
    """How many trials of such a run have no outcome yet."""
    denominators: list[str] = field(default_factory=list)
    """A sentence for each metric whose number in the runs is another than the mean of scored items."""
    left_out: list[str] = field(default_factory=list)
    """Models of some of the runs that others lack: nothing of them is compared."""
    flips: list[dict[str, Any]] = field(default_factory=list)
    """Items of which one side is right and the other wrong, with both answers, if they were asked for."""

    @property
    def verdict(self) -> str:
        """What is to be said first, in words, of one metric after the other; then what the numbers are not, and of
        which runs there is not all."""
        if len(self.sides) == 2 or self.baseline is not None:
            said = [f"{begun(self._said(each))}." for each in self.pairs]
        else:
            said = [_verdict_of_many(of, _groups(of)) for of in self._by_metric()]
        return "\n".join([*said, *self._lacking(), *self.denominators])

    @property
    def outcome(self) -> Verdict:
        """The verdict as one word: the least welcome one of all pairs, in all metrics.

        Where each was compared with each, better and worse are the same: that the two were told apart.
        """
        found = {each.verdict for each in self.pairs}
        if self.baseline is None:
            found = {"better" if each == "worse" else each for each in found}
        order: tuple[Verdict, ...] = ("worse", "inconclusive", "equivalent", "better")
        return next(each for each in order if each in found)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]

    @property
    def groups(self) -> list[list[str]]:
        """The sides from best to worst, in groups whose members can't be told apart; of the first metric."""
        return _groups(self._first())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `themis compare --format json` prints it."""
        return {
            "verdict": self.verdict, "outcome": self.outcome, "sides": self.sides, "by": self.by,
            "baseline": self.baseline, "margin": self.margin, "correction": self.correction, "cluster": self.cluster,
            "unpaired": self.unpaired, "groups": self.groups,
            "pairs": [{**asdict(each), "sentence": self._said(each)} for each in self.pairs],
            "unfinished": self.unfinished, "missing": self.missing, "left_out": self.left_out,
            "denominators": self.denominators, "differs": self.differs, "flips": self.flips,
        }  # fmt: skip

    def table(self) -> str:
        """The differences as a plain text table, what they rest on, and the ledgers of both sides."""
        return as_text(self._rows(), self.notes(), ledgers_of(self._first()))

    def markdown(self) -> str:
        """The verdict, the table of differences and the ledgers as Markdown."""
        return as_markdown(self.verdict, self._rows(), self.notes(), ledgers_of(self._first()))

    def _rows(self) -> Table:
        return rows_of(self.pairs, self.correction, self.margin)

    def notes(self) -> list[str]:
        """What must be known beside the numbers, a line each."""
        return [*self.caveats(), *notes_of(self.pairs, self.cluster, self.groups if len(self.sides) > 2 else [])]

    def caveats(self) -> list[str]:
        """What was not compared, a line each."""
        told = [f"one side alone has {', '.join(self.left_out)}: not compared"] if self.left_out else []
        return [*told, *caveats_of(self.pairs)]

    def _lacking(self) -> list[str]:
        """Of which runs there is not all, a line each."""
        return [
            f"run {run_id} has the status {status}{_without_outcome(self.missing.get(run_id))}: only what has a score "
            "is compared"
            for run_id, status in self.unfinished.items()
        ]

    def _said(self, each: Pair) -> str:
        return each.sentence(self.margin, directed=self.baseline is not None)

    def _by_metric(self) -> list[list[Pair]]:
        names = dict.fromkeys(each.name for each in self.pairs)
        return [[each for each in self.pairs if each.name == name] for name in names]

    def _first(self) -> list[Pair]:
        return [each for each in self.pairs if each.name == self.pairs[0].name]


def _without_outcome(trials: int | None) -> str:
    return f", and {counted(trials, 'trial', 'has', 'have')} no outcome yet" if trials else ""


def _groups(pairs: Sequence[Pair]) -> list[list[str]]:
    values = {each.a: each.value_a for each in pairs} | {each.b: each.value_b for each in pairs}
    up = pairs[0].higher_is_better
    order = sorted(values, key=lambda name: (values[name] is None, (values[name] or 0) * (-1 if up else 1)))
    compared = {frozenset((each.a, each.b)) for each in pairs}
    apart = [(each.a, each.b) for each in pairs if each.verdict in ("better", "worse")]
    if len(compared) < len(order) * (len(order) - 1) / 2:  # many against one: the others were not compared
        return []
    return groups_of(order, apart)


def _verdict_of_many(pairs: Sequence[Pair], groups: Sequence[Sequence[str]]) -> str:
    best = groups[0]
    first = best[0]
    told = [each for each in pairs if each.verdict in ("better", "worse")]
    if len(best) == 1:
        said = f"{first} is better than each of the others in {pairs[0].name}"
    else:
        rest = " or ".join([", ".join(best[1:-1]), best[-1]] if len(best) > 2 else [best[-1]])
        said = f"it can't be said that {first}, which has the best {pairs[0].name}, is better than {rest}"
    return f"{begun(said)}; {len(told)} of {counted(len(pairs), 'pair')} can be told apart."
