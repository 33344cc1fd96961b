"""Which trials of a run have something in common, and which items its models do worst on; as streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import nsmallest
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from themis_core.components import Store
from themis_core.records import RunRecord, ScoreRow, TrialRow
from themis_core.results.labels import Labels, benchmark_of, checked, with_metadata
from themis_core.results.manifests import Arm, scales_of

__all__ = ["ItemMean", "selected", "worst_items"]

Where = Mapping[str, str]
"""A name that results are grouped by, to the value that is wanted."""


class ItemMean(NamedTuple):
    """How good the answers to one item are, of all models, prompts, settings and samples that were asked for."""

    score: str
    metric: str
    item_id: str
    mean: float
    n: int
    """Answers that were scored."""
    item_digest: str


def selected(store: Store, run: RunRecord, prefix: str | None, outcome: str | None, where: Where) -> Iterator[TrialRow]:
    """The finished trials that have these values, in the store's order."""
    labels = Labels(checked(where, benchmark_of(run.manifest)), run.manifest) if where else None
    rows = store.trial_rows(run.run_id, prefix, outcome=outcome)
    wanted = tuple(where.values())
    for row, metadata in with_metadata(store, rows, bool(labels and labels.metadata)):
        if labels is None or labels.of(_arm(row), row.sample_index, metadata) == wanted:
            yield row


def worst_items(store: Store, run: RunRecord, most: int, where: Where, metric: str | None) -> list[ItemMean]:
    """The items with the worst means, at most so many of each score and metric; ties by the item's digest."""
    higher = {place[1:]: scale.higher_is_better for place, scale in scales_of(run.manifest).items()}
    found = []
    for (score, name), means in groupby(_means(store, run, where, metric), itemgetter(0, 1)):
        sign = 1 if higher.get((score, name), True) else -1
        found += nsmallest(most, means, key=lambda each: (sign * each.mean, each.item_digest))
    return found


def _means(store: Store, run: RunRecord, where: Where, metric: str | None) -> Iterator[ItemMean]:
    labels = Labels(checked(where, benchmark_of(run.manifest)), run.manifest)
    wanted = tuple(where.values())
    rows = with_metadata(store, store.scores_by_item(run.run_id), bool(labels.metadata))
    kept = (
        row
        for row, metadata in rows
        if row.value is not None
        and metric in (None, row.metric, row.score)
        and (not wanted or labels.of(_arm(row), row.sample_index, metadata) == wanted)
    )
    for (score, name, item_id, digest), of_item in groupby(
        kept, lambda row: (row.score, row.metric, row.item_id, row.item_digest)
    ):
        values = [row.value or 0.0 for row in of_item]
        yield ItemMean(score, name, item_id, sum(values) / len(values), len(values), digest)


def _arm(row: TrialRow | ScoreRow) -> Arm:
    return (row.slice_id, row.model_id, row.prompt_variant_id, row.params)
