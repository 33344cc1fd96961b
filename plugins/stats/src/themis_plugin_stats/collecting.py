"""The scores of a run as columns of numbers: what a comparison reads, once.

Memory holds few of them (see `columns`). Of a metric that makes its number of sums of parts, such as BLEU, it holds
all, and these sums as well. Of one that may do anything with its scores, each of them, in some hundreds of bytes.

A group is what has one slice, model, prompt variant, setting, score and metric. Samples are averaged within items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

from themis_core import Results, RunRecord, Score, ScoreRow, SpecError
from themis_plugin_stats.columns import DIGITS, ItemMeans, Overflow
from themis_plugin_stats.item_sums import ItemSums

__all__ = ["ALL", "Cell", "Collected", "Group", "MetricKey", "chosen", "collect"]

ALL = ("*",)
"""All metrics of a run."""

LOOKED_AT = 50
"""Items of each group among which a comparison looks for some that both sides have, for their prompts and replies."""
MetricKey: TypeAlias = tuple[str, str]
"""Score and metric, as results name them."""


class Group(NamedTuple):
    """Where trials belong."""

    slice_id: str
    model: str
    prompt: str
    params: str


@dataclass(slots=True)
class Cell:
    """The scores of one group and metric: one number for each item that has any."""

    items: ItemMeans = field(default_factory=ItemMeans)
    ledger: Counter[str] = field(default_factory=Counter)
    """`scored` and `unparsed` answers, and the unscored ones by reason."""
    parts: list[list[Score]] = field(default_factory=list)
    """By item, of metrics whose number is not the mean, unless their sums are enough."""
    sums: ItemSums | None = None
    """Of metrics whose number comes from the sums of the parts."""
    first: dict[str, str] = field(default_factory=dict)
    """By item, the first trials' ids, to look at closely."""
    number: float | None = None
    """What the run itself says of them; known of a baseline file alone."""
    _last: str = ""

    def add(self, row: ScoreRow, keeps_parts: bool) -> None:
        """Add a row; those of an item follow each other."""
        if len(self.first) < LOOKED_AT:
            self.first.setdefault(row.item_digest, row.trial_id)
        value = row.value
        if value is None:
            self.ledger[row.reason or "?"] += 1
            return
        self.ledger["scored"] += 1
        if row.parse_reason is not None:
            self.ledger["unparsed"] += 1
        is_new = row.item_digest != self._last
        if is_new:
            self._last = row.item_digest
            self.items.add(row.item_digest, value)
        else:
            self.items.add_sample(value)
        if self.sums is not None:
            self.sums.add(value, row.parts, new_item=is_new)
        elif keeps_parts:
            if is_new:
                self.parts.append([])
            self.parts[-1].append(Score(value, parts=row.parts))

    def item_sums(self) -> ItemSums:
        """The same of a cell that holds its scores one by one, as that of a file does."""
        return ItemSums.of(self.parts) if self.sums is None else self.sums


@dataclass(slots=True)
class Collected:
    """What a comparison needs of one run."""

    run: RunRecord
    results: Results | None
    """The open store; None of a file."""
    cells: dict[MetricKey, dict[Group, Cell]]
    outcomes: dict[Group, Counter[str]]
    aggregates: Mapping[tuple[str, str, str], Any]

    def metrics(self) -> Iterator[MetricKey]:
        """Each that the spec names, in its order."""
        yield from dict.fromkeys((each["score"], each["metric"]) for each in self.run.manifest["scorers"])

    def groups(self) -> list[Group]:
        return sorted(self.outcomes)

    def higher_is_better(self, metric: MetricKey) -> bool:
        scorers = self.run.manifest["scorers"]
        found = [each for each in scorers if (each["score"], each["metric"]) == metric]
        return bool(found[0].get("higher_is_better", True)) if found else True

    def span(self, metric: MetricKey) -> float | None:
        """The highest score that the metric can give, less the lowest one; None if it has no such ends."""
        for each in self.run.manifest["scorers"]:
            if (each["score"], each["metric"]) == metric and None not in (each.get("lowest"), each.get("highest")):
                return float(each["highest"] - each["lowest"])
        return None


def collect(
    results: Results, run_id: str, wanted: Collection[str] = (), digits: int = DIGITS, *, each_score: bool = False
) -> Collected:
    """Read the scores of a run. `wanted` are names of scores, metrics or both as `score/metric`; all by default.

    Of the items' digests so many digits are kept. With `each_score`, metrics that make their number of all scores have
    these one by one, even if sums are enough for them. Raises SpecError if the run has none of a name, or no such run
    is stored.
    """
    run = results.run(run_id)
    outcomes: dict[Group, Counter[str]] = {}
    for each in results.outcomes(run.run_id):
        group = Group(each.slice_id, each.model_id, each.prompt_variant_id, each.params)
        outcomes.setdefault(group, Counter())[each.outcome] += each.count
    found = Collected(run, results, {}, outcomes, results.aggregates(run.run_id))
    keys = chosen(list(found.metrics()), wanted, run.run_id)
    found.cells = {key: {} for key in keys}
    _read(found, results, digits, each_score)
    return found


def _read(found: Collected, results: Results, digits: int, each_score: bool) -> None:
    overflow = Overflow()
    for (*group, score, metric), rows in groupby(results.score_rows(found.run.run_id), lambda row: row[:6]):
        cells = found.cells.get((score, metric))
        if cells is None:
            continue
        component = found.aggregates.get((group[0], score, metric))
        sums = ItemSums() if component is not None and component.sums_parts and not each_score else None
        # What is beside them is found by their places, which a file would change.
        items = ItemMeans(digits, overflow if component is None else None)
        cell = cells.setdefault(Group(*group), Cell(items, sums=sums))
        for row in rows:
            cell.add(row, keeps_parts=component is not None)
        cell.items.settle()


def chosen(known: list[MetricKey], wanted: Collection[str], run_id: str) -> list[MetricKey]:
    """The metrics that are wanted; of several the first alone if none is named."""
    if not wanted or tuple(wanted) == ALL:
        return known if wanted else known[:1]
    found = []
    for name in wanted:
        named = [key for key in known if name in (*key, "/".join(key))]
        if not named:
            listed = ", ".join("/".join(key) for key in known) or "none"
            raise SpecError(f"run {run_id} has no score or metric {name!r}. It has: {listed}")
        found += named
    return list(dict.fromkeys(found))
