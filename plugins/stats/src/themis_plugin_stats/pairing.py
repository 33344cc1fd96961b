"""Pairs the items that two sides have in common, by the digest of their content; what one side lacks is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from themis_core import NO_PROMPT, PluginError, Score, SpecError
from themis_plugin_stats.collecting import Cell, Collected, Group, MetricKey
from themis_plugin_stats.columns import PARTS, Columns, Digests
from themis_plugin_stats.corpus import bootstrapped, jackknifed
from themis_plugin_stats.flipping import Floats
from themis_plugin_stats.procedures import Procedure, Unvaried, paired_clusters, paired_items, welch_of
from themis_plugin_stats.sides import By, Of, Side
from themis_plugin_stats.tallying import Clusters, Moments, Tally

__all__ = ["Chunk", "Ledger", "Pairs", "cells_of", "compared", "keyed_alike", "numbers_of", "pair"]

Key: TypeAlias = tuple[str, ...]
Items: TypeAlias = Sequence[Sequence[Score]]
"""Scores by item."""
_FIELDS = ("slice_id", "model", "prompt", "params")


@dataclass(slots=True)
class Ledger:
    """How the trials of one side ended."""

    trials: int = 0
    failed: int = 0
    scored: int = 0
    unparsed: int = 0
    unscored: Counter[str] = field(default_factory=Counter)
    items: int = 0
    """With a score."""
    only: int = 0
    """Items with a score that the other side has no score of: not one in its place."""
    unpaired: float = 0.0
    """The share of this side's scores (one for each item, prompt variant, setting, slice) that have none in place."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "trials": self.trials, "failed": self.failed, "scored": self.scored, "unparsed": self.unparsed,
            "unscored": dict(sorted(self.unscored.items())), "items": self.items, "only_here": self.only,
            "unpaired": self.unpaired,
        }  # fmt: skip


class Match(NamedTuple):
    """What two cells that belong together hold of a chunk, and the positions of the common items in each."""

    a: Columns
    b: Columns
    at_a: NDArray[np.intp]
    at_b: NDArray[np.intp]


class Chunk(NamedTuple):
    """Items that both sides have, one number for each item and side."""

    digests: Digests
    a: Floats
    b: Floats
    matches: list[Match]
    """Of the cells that are `Pairs.matched`."""


@dataclass
class Pairs:
    """The scores of two sides on the items that both have."""

    matched: list[tuple[Cell, Cell]]
    """Cells of both sides that belong together."""
    cells: tuple[list[Cell], list[Cell]]
    ledgers: tuple[Ledger, Ledger]
    unmatched: list[str]
    """Slices, models, prompts or settings that one side alone has."""
    noise: tuple[float | None, float | None] = (None, None)
    """How often two answers of one side to an item differ, by samples of the same; None if there is one of each."""
    tally: Tally = field(default_factory=Tally)
    scores: int = 0
    """Of each side, that have one of the other in place."""

    @cached_property
    def parts(self) -> Sequence[int | None]:
        """The parts by which the items are gone through; None stands for all, where they are few."""
        return range(PARTS) if any(cell.items.in_parts for side in self.cells for cell in side) else (None,)

    def chunks(self) -> Iterable[Chunk]:
        """The common items, by parts."""
        return map(self._chunk, self.parts) if len(self.parts) > 1 else (self.all,)

    @cached_property
    def all(self) -> Chunk:
        """All common items at once, which memory has room for if they are few."""
        return self._chunk(None)

    def _chunk(self, part: int | None) -> Chunk:
        matches, digests = [], []
        for a, b in self.matched:
            first, second = a.items.of(part), b.items.of(part)
            both, *at = np.intersect1d(*_alike(first.digests, second.digests), assume_unique=True, return_indices=True)
            matches.append(Match(first, second, *at))
            digests.append(both)
        numbers = [each.a.means[each.at_a] for each in matches], [each.b.means[each.at_b] for each in matches]
        (a_means, b_means), items = _by_item(digests, *numbers)
        return Chunk(items, a_means, b_means, matches)

    @cached_property
    def whole(self) -> tuple[Moments, Moments]:
        """All scores of each side, by item, for unpaired comparisons."""
        return self._moments(self.cells[0]), self._moments(self.cells[1])

    def _moments(self, cells: Sequence[Cell]) -> Moments:
        found = Moments()
        for part in self.parts:
            columns = [cell.items.of(part) for cell in cells]
            means = [each.means for each in columns]
            found.add(_by_item([each.digests for each in columns], means, means)[0][0])
        return found


def pair(one: Of, other: Of, metric: MetricKey, by: By) -> Pairs:
    """Pair the items of two sides, averaged over samples, and over the prompts, settings and models of both sides."""
    cells = [cells_of(side, run, metric) for side, run in (one, other)]
    keyed = keyed_alike(cells[0], cells[1], by)
    pairs = Pairs(
        matched=[(keyed[0][key], keyed[1][key]) for key in keyed[0] if key in keyed[1]],
        cells=(list(cells[0].values()), list(cells[1].values())),
        ledgers=(_ledger(*one, cells[0]), _ledger(*other, cells[1])),
        unmatched=[" · ".join(key) for side in (0, 1) for key in keyed[side] if key not in keyed[1 - side]],
    )
    _tally(pairs)
    for ledger, side, of in zip(pairs.ledgers, pairs.cells, keyed, strict=True):
        scores = sum(len(cell.items) for cell in of.values())
        ledger.items = _items(side, pairs.parts)
        ledger.only = ledger.items - pairs.tally.n
        ledger.unpaired = 1 - pairs.scores / scores if scores else 0.0
    pairs.noise = _flips_by_itself(pairs.cells[0], pairs.parts), _flips_by_itself(pairs.cells[1], pairs.parts)
    return pairs


def _tally(pairs: Pairs) -> None:
    for chunk in pairs.chunks():
        pairs.tally.see(chunk.a, chunk.b)
        pairs.scores += sum(len(each.at_a) for each in chunk.matches)
    if not pairs.tally.is_binary:
        for chunk in pairs.chunks():
            pairs.tally.differ(chunk.a, chunk.b)


def compared(
    pairs: Pairs,
    component: Any,
    clusters: Callable[[Chunk], NDArray[Any]] | None,
    *,
    unpaired: bool,
    metric: str,
    span: float | None,
) -> Procedure:
    """The procedure that fits: `component` is the metric if its number is not the mean of its scores.

    `clusters` says to which cluster each item of a chunk belongs.
    """
    if unpaired:
        if component is not None:
            raise SpecError(f"{metric} is a number of all items at once, which can't be compared unpaired")
        a, b = pairs.whole
        return welch_of(a, b, span) if min(a.n, b.n) else Unvaried(float("nan"), 0, 0, 0.0, "nothing in common")
    if not pairs.tally.n:
        return Unvaried(float("nan"), 0, 0, 0.0, "nothing in common")
    if component is not None:
        corpus = _Corpus(pairs, component, metric)
        procedure = jackknifed if component.aggregates_smoothly else bootstrapped
        return procedure(corpus.difference, pairs.tally.n, None if clusters is None else clusters(pairs.all))
    if clusters is None:
        return paired_items(pairs.tally, span)
    by_cluster = Clusters(pairs.tally.greatest)
    for chunk in pairs.chunks():
        by_cluster.add(chunk.a, chunk.b, clusters(chunk))
    return paired_clusters(pairs.tally, by_cluster, span)


class _Corpus:
    """The difference of two numbers of all items, made anew of any of the items; the mean over matched cells."""

    def __init__(self, pairs: Pairs, component: Any, metric: str) -> None:
        self._component = component
        self._metric = metric
        self._cells = []
        common = pairs.all.digests
        for (a, b), match in zip(pairs.matched, pairs.all.matches, strict=True):
            place = np.searchsorted(common, _alike(match.a.digests, match.b.digests)[0][match.at_a])
            of_item = np.full(len(common), -1)
            of_item[place] = np.arange(len(place))
            self._cells.append((of_item, self._scores(a, match.at_a), self._scores(b, match.at_b)))

    def difference(self, items: NDArray[np.int64]) -> float:
        found = []
        for of_item, a, b in self._cells:
            places = of_item[items]
            places = places[places >= 0]
            if len(places):
                found.append(self._number(b(places)) - self._number(a(places)))
        return float(np.mean(found))

    def sides(self) -> tuple[float, float]:
        """The number of each side, of all common items."""
        numbers = []
        for of_item, a, b in self._cells:
            common = of_item[of_item >= 0]
            numbers.append((self._number(a(common)), self._number(b(common))))
        return float(np.mean([each[0] for each in numbers])), float(np.mean([each[1] for each in numbers]))

    def _scores(self, cell: Cell, at: NDArray[np.int64]) -> Callable[[NDArray[np.int64]], Items]:
        """What gives the scores of some of the common items of a cell, which are `at` its positions."""
        if not self._component.sums_parts:
            return lambda places: [cell.parts[i] for i in at[places].tolist()]
        sums = cell.item_sums()
        if sums.problem:
            raise PluginError(f"metric {self._metric!r}: {sums.problem}")
        return lambda places: sums.whole(at[places])

    def _number(self, scores: Items) -> float:
        try:
            value = self._component.aggregate_items(scores)
        except Exception as error:
            raise PluginError(f"metric {self._metric!r} failed at aggregate_items: {error}") from error
        if value is None:
            raise SpecError(f"metric {self._metric!r} makes no number of these scores, so they can't be compared")
        return float(value)


def numbers_of(pairs: Pairs, component: Any, *, unpaired: bool, metric: str) -> tuple[float | None, float | None]:
    """The number of each side, of what is compared."""
    if unpaired and min(each.n for each in pairs.whole):
        return pairs.whole[0].mean, pairs.whole[1].mean
    tally = pairs.tally
    if not tally.n:
        return None, None
    if component is not None:
        return _Corpus(pairs, component, metric).sides()
    return tally.sum_a / tally.n, tally.sum_b / tally.n


def _alike(a: Digests, b: Digests) -> tuple[Digests, Digests]:
    """The digests of both, as far as both are known: a file has their beginnings alone."""
    if a.dtype == b.dtype:
        return a, b
    kind = f"S{min(a.itemsize, b.itemsize)}"
    return a.astype(kind), b.astype(kind)


def cells_of(side: Side, run: Collected, metric: MetricKey) -> dict[Group, Cell]:
    return {group: cell for group, cell in run.cells.get(metric, {}).items() if side.has(group)}


def keyed_alike(a: Mapping[Group, Cell], b: Mapping[Group, Cell], by: By) -> tuple[dict[Key, Cell], dict[Key, Cell]]:
    """Cells by what must be equal on both sides: all names but the one that is compared, and those that each side has
    one of, whatever it is called there.

    What was asked without a prompt is compared with each prompt of the other side.
    """
    kept = [
        name
        for name in _FIELDS
        if name != by and not all(len({getattr(group, name) for group in side}) <= 1 for side in (a, b))
    ]

    def keyed(side: Mapping[Group, Cell], other: Mapping[Group, Cell]) -> dict[Key, Cell]:
        return {
            tuple(prompt if name == "prompt" else getattr(group, name) for name in kept): cell
            for group, cell in sorted(side.items())
            for prompt in _prompts(group, other)
        }

    return keyed(a, b), keyed(b, a)


def _prompts(group: Group, other: Mapping[Group, Cell]) -> Sequence[str]:
    """The prompts of the other side with which a group is compared: its own, but all for what reads no prompt."""
    there = sorted({each.prompt for each in other if each.slice_id == group.slice_id})
    return there if group.prompt == NO_PROMPT and there and NO_PROMPT not in there else (group.prompt,)


def _by_item(digests: list[Digests], a: list[Floats], b: list[Floats]) -> tuple[tuple[Floats, Floats], Digests]:
    """One number for each item and side: the mean over the cells that have it on both sides."""
    if not digests:
        return (np.empty(0), np.empty(0)), np.empty(0, dtype="S32")
    if len(digests) == 1:
        return (a[0], b[0]), digests[0]
    items, place, counts = np.unique(np.concatenate(digests), return_inverse=True, return_counts=True)
    sums = (np.bincount(place, np.concatenate(each), len(items)) for each in (a, b))
    first, second = (each / counts for each in sums)
    return (first, second), items


def _ledger(side: Side, run: Collected, cells: Mapping[Group, Cell]) -> Ledger:
    found = Ledger()
    for group, counts in run.outcomes.items():
        if side.has(group):
            found.trials += counts.total()
            found.failed += counts["failed"]
    for cell in cells.values():
        found.scored += cell.ledger["scored"]
        found.unparsed += cell.ledger["unparsed"]
        found.unscored += Counter({k: v for k, v in cell.ledger.items() if k not in ("scored", "unparsed")})
    return found


def _items(cells: Sequence[Cell], parts: Sequence[int | None]) -> int:
    """How many there are, of which cells may have the same ones."""
    if len(cells) < 2:
        return sum(len(cell.items) for cell in cells)
    return sum(len(np.unique(np.concatenate([cell.items.of(part).digests for cell in cells]))) for part in parts)


def _flips_by_itself(cells: Sequence[Cell], parts: Sequence[int | None]) -> float | None:
    """Of zeros and ones: the share of items of which two samples of one side differ; without bias, 2 s² of them."""
    total, items = 0.0, 0
    for part in parts:
        shares = [_shares(cell.items.of(part)) for cell in cells if cell.items.has_several]
        if shares:
            total += float(np.concatenate(shares).sum())
            items += sum(map(len, shares))
    return total / items if items else None


def _shares(columns: Columns) -> Floats:
    several = columns.counts > 1
    return 2 * columns.within[several] / (columns.counts[several] - 1)
