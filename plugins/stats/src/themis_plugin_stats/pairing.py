"""Pairs the items that two sides have in common, by the digest of their content; what one side lacks is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from themis_core import NO_PROMPT, PluginError, Score, SpecError
from themis_plugin_stats.collecting import Cell, Collected, Digests, Group, MetricKey
from themis_plugin_stats.corpus import bootstrapped, jackknifed
from themis_plugin_stats.flipping import Floats
from themis_plugin_stats.naming import cluster_of
from themis_plugin_stats.procedures import Procedure, Unvaried, paired, welch
from themis_plugin_stats.sides import By, Of, Side

__all__ = ["Ledger", "Pairs", "cells_of", "compared", "keyed_alike", "pair"]

Key: TypeAlias = tuple[str, ...]
Items: TypeAlias = Sequence[Sequence[Score]]
"""Scores by item."""
_FIELDS = ("slice_id", "model", "prompt", "params")
_BATCH = 500


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


@dataclass(slots=True)
class Pairs:
    """The scores of two sides on the items that both have, one number for each item and side."""

    digests: Digests
    a: Floats
    b: Floats
    ledgers: tuple[Ledger, Ledger]
    matched: list[tuple[Cell, Cell, NDArray[np.intp], NDArray[np.intp]]]
    """Cells of both sides that belong together, and the positions of the common items in each."""
    unmatched: list[str]
    """Slices, models, prompts or settings that one side alone has."""
    noise: tuple[float | None, float | None]
    """How often two answers of one side to an item differ, by samples of the same; None if there is one of each."""
    cells: tuple[list[Cell], list[Cell]]

    def whole(self) -> tuple[Floats, Floats]:
        """All scores of each side, by item, for unpaired comparisons."""
        return _all_items(self.cells[0]), _all_items(self.cells[1])


def pair(one: Of, other: Of, metric: MetricKey, by: By) -> Pairs:
    """Pair the items of two sides, averaged over samples, and over the prompts, settings and models of both sides."""
    cells = [cells_of(side, run, metric) for side, run in (one, other)]
    keyed = keyed_alike(cells[0], cells[1], by)
    common = [key for key in keyed[0] if key in keyed[1]]
    ledgers = (_ledger(*one, cells[0]), _ledger(*other, cells[1]))
    matched, digests, values_a, values_b = [], [], [], []
    for key in common:
        a, b = keyed[0][key], keyed[1][key]
        both, at_a, at_b = np.intersect1d(*_alike(a, b), assume_unique=True, return_indices=True)
        matched.append((a, b, at_a, at_b))
        digests.append(both)
        values_a.append(a.means[at_a])
        values_b.append(b.means[at_b])
    unmatched = [" · ".join(key) for side in (0, 1) for key in keyed[side] if key not in keyed[1 - side]]
    found, items = _by_item(digests, values_a, values_b)
    for ledger, of in zip(ledgers, keyed, strict=True):
        scores = sum(len(cell.means) for cell in of.values())
        ledger.only = ledger.items - len(items)
        ledger.unpaired = 1 - sum(map(len, digests)) / scores if scores else 0.0
    noise = (_flips_by_itself(cells[0].values()), _flips_by_itself(cells[1].values()))
    return Pairs(
        items,
        found[0],
        found[1],
        ledgers,
        matched,
        unmatched,
        noise,
        (list(cells[0].values()), list(cells[1].values())),
    )


def compared(
    pairs: Pairs, component: Any, clusters: NDArray[Any] | None, *, unpaired: bool, metric: str, span: float | None
) -> Procedure:
    """The procedure that fits: `component` is the metric if its number is not the mean of its scores."""
    if unpaired:
        if component is not None:
            raise SpecError(f"{metric} is a number of all items at once, which can't be compared unpaired")
        whole = pairs.whole()
        if not min(map(len, whole)):
            return Unvaried(float("nan"), 0, 0, 0.0, "nothing in common")
        return welch(*whole, span)
    if not len(pairs.a):
        return Unvaried(float("nan"), 0, 0, 0.0, "nothing in common")
    if component is None:
        return paired(pairs.a, pairs.b, clusters, span)
    corpus = _Corpus(pairs, component, metric)
    procedure = jackknifed if component.aggregates_smoothly else bootstrapped
    return procedure(corpus.difference, len(pairs.digests), clusters)


def clusters_of(pairs: Pairs, one: Collected, other: Collected, field_name: str) -> NDArray[Any]:
    """What each item's metadata (or else its field) of this name says.

    The items' digests must be known whole. Raises SpecError if an item has none, or both sides are files, which don't
    hold the items.
    """
    of_a = other.results is None
    results = one.results if of_a else other.results
    if results is None:
        raise SpecError("a baseline file holds no metadata to cluster by: compare it with a stored run")
    found: list[str] = []
    known = pairs.digests.dtype.itemsize  # bytes: of a file, the digests' beginnings alone
    full = {
        digest[:known].rstrip(b"\0"): digest.ljust(32, b"\0").hex()
        for a, b, at_a, at_b in pairs.matched
        for digest in (a.digests[at_a] if of_a else b.digests[at_b]).tolist()
    }
    whole = [full[each] for each in pairs.digests.tolist()]
    for start in range(0, len(whole), _BATCH):
        batch = whole[start : start + _BATCH]
        items = results.items(batch)
        for digest in batch:
            item = items[digest]
            value = cluster_of(item, field_name)
            if value is None:
                names = ", ".join(sorted({*item.metadata, *item.fields})) or "none"
                raise SpecError(f"item {item.id!r} has no metadata {field_name!r} to cluster by. It has: {names}")
            found.append(str(value))
    return np.array(found)


class _Corpus:
    """The difference of two numbers of all items, made anew of any of the items; the mean over matched cells."""

    def __init__(self, pairs: Pairs, component: Any, metric: str) -> None:
        self._component = component
        self._metric = metric
        self._cells = []
        for a, b, at_a, at_b in pairs.matched:
            place = np.searchsorted(pairs.digests, _alike(a, b)[0][at_a])
            of_item = np.full(len(pairs.digests), -1)
            of_item[place] = np.arange(len(place))
            self._cells.append((of_item, self._scores(a, at_a), self._scores(b, at_b)))

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
    if unpaired and min(map(len, whole := pairs.whole())):
        return float(whole[0].mean()), float(whole[1].mean())
    if not len(pairs.a):
        return None, None
    if component is not None:
        return _Corpus(pairs, component, metric).sides()
    return float(pairs.a.mean()), float(pairs.b.mean())


def _alike(a: Cell, b: Cell) -> tuple[Digests, Digests]:
    """The digests of both, as far as both are known: a file has their beginnings alone."""
    if a.digits == b.digits:
        return a.digests, b.digests
    kind = f"S{min(a.digits, b.digits) // 2}"
    return a.digests.astype(kind), b.digests.astype(kind)


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


def _all_items(cells: Sequence[Cell]) -> Floats:
    means = [cell.means for cell in cells]
    return _by_item([cell.digests for cell in cells], means, means)[0][0]


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
    digests = [cell.digests for cell in cells.values()]
    found.items = len(digests[0]) if len(digests) == 1 else len(np.unique(np.concatenate(digests))) if digests else 0
    return found


def _flips_by_itself(cells: Any) -> float | None:
    """Of zeros and ones: the share of items of which two samples of one side differ; without bias, 2 s² of them."""
    shares = []
    for cell in cells:
        several = cell.counts > 1
        if several.any():
            shares.append(2 * cell.within[several] / (cell.counts[several] - 1))
    return float(np.concatenate(shares).mean()) if shares else None
