"""The scores of a run as columns of numbers: what a comparison reads, once, in some 24 bytes for each item of a group.

Of a metric that makes its number of sums of parts, such as BLEU, these sums as well. Of one that may do anything with
its scores, each of them, in some hundreds of bytes.

A group is what has one slice, model, prompt variant, setting, score and metric. Samples are averaged within items.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from themis_core import Results, RunRecord, Score, ScoreRow, SpecError
from themis_plugin_stats.item_sums import ItemSums

__all__ = ["ALL", "DIGITS", "WHOLE", "Cell", "Collected", "Group", "MetricKey", "chosen", "collect"]

ALL = ("*",)
"""All metrics of a run."""

DIGITS = 32
"""Of an item's SHA-256: 16 bytes tell items apart, and half as many are kept."""
WHOLE = 64
"""All of its digits, which the store is asked by."""
LOOKED_AT = 50
"""Items of each group among which a comparison looks for some that both sides have, for their prompts and replies."""
MetricKey: TypeAlias = tuple[str, str]
"""Score and metric, as results name them."""
Digests: TypeAlias = NDArray[np.bytes_]


class Group(NamedTuple):
    """Where trials belong."""

    slice_id: str
    model: str
    prompt: str
    params: str


@dataclass(slots=True)
class Cell:
    """The scores of one group and metric: one number for each item that has any."""

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
    digits: int = DIGITS
    """Of the items' digests that are kept."""
    _digests: bytearray = field(default_factory=bytearray)
    _means: array[float] = field(default_factory=lambda: array("d"))
    _counts: array[int] = field(default_factory=lambda: array("l"))
    """Empty for as long as each item has one sample, and so is the next one."""
    _within: array[float] = field(default_factory=lambda: array("d"))
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
            self._digests += bytes.fromhex(row.item_digest[: self.digits])
            self._means.append(value)
            if self._counts:
                self._counts.append(1)
                self._within.append(0.0)
        else:
            self._add_sample(value)
        if self.sums is not None:
            self.sums.add(value, row.parts, new_item=is_new)
        elif keeps_parts:
            if is_new:
                self.parts.append([])
            self.parts[-1].append(Score(value, parts=row.parts))

    def item_sums(self) -> ItemSums:
        """The same of a cell that holds its scores one by one, as that of a file does."""
        return ItemSums.of(self.parts) if self.sums is None else self.sums

    def _add_sample(self, value: float) -> None:
        if not self._counts:
            self._counts = array("l", [1]) * len(self._means)
            self._within = array("d", [0.0]) * len(self._means)
        # Welford 1962: mean and squares in one pass.
        self._counts[-1] += 1
        off = value - self._means[-1]
        self._means[-1] += off / self._counts[-1]
        self._within[-1] += off * (value - self._means[-1])

    @property
    def digests(self) -> Digests:
        """The beginning of each item's SHA-256, its last zero bytes cut off, as numpy does."""
        return np.frombuffer(self._digests, dtype=f"S{self.digits // 2}")

    @property
    def means(self) -> NDArray[np.float64]:
        return np.frombuffer(self._means, dtype=np.float64)

    @property
    def counts(self) -> NDArray[np.float64]:
        """Samples of each item."""
        return np.asarray(self._counts, dtype=np.float64) if self._counts else np.ones(len(self._means))

    @property
    def within(self) -> NDArray[np.float64]:
        """Sum of squares of the samples around their item's mean."""
        return np.frombuffer(self._within, dtype=np.float64) if self._within else np.zeros(len(self._means))


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
    current: tuple[str, ...] | None = None
    cell: Cell | None = None
    keeps_parts = False
    for row in results.score_rows(found.run.run_id):
        place = row[:6]
        if place != current:
            current = place
            groups = found.cells.get(place[4:])
            component = found.aggregates.get((place[0], place[4], place[5]))
            keeps_parts = component is not None
            sums = ItemSums() if component is not None and component.sums_parts and not each_score else None
            cell = None if groups is None else groups.setdefault(Group(*place[:4]), Cell(digits=digits, sums=sums))
        if cell is not None:
            cell.add(row, keeps_parts)


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
