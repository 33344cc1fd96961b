"""Sums and counts of a run's scores, from the stream of them: what a store gives that can't add up by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby

from themis_core.records import ScoreCell, ScoreEnds, ScorePlace, ScoreRow, ScoreSums
from themis_intervals import ClusterSums

__all__ = ["ends_of", "sums_of"]


def sums_of(
    rows: Iterator[ScoreRow], cells: Mapping[ScorePlace, ScoreCell], *, by_sample: bool, by_metadata: bool
) -> Iterator[ScoreSums]:
    """As `Store.score_sums`, of rows in the order of `Store.scores_by_item`; memory grows with cells and samples."""
    totals: dict[tuple[int, int], ClusterSums] = {}
    for place, of_item in groupby(rows, lambda row: (row.score, row.metric, row.item_digest)):
        for key, sums in _clusters(of_item, cells, by_sample):
            if by_metadata:
                yield ScoreSums(key[0], sums, key[1], place[-1])
            else:
                totals[key] = totals[key].joined(sums) if key in totals else sums
    yield from (ScoreSums(cell, sums, sample) for (cell, sample), sums in totals.items())


def _clusters(
    rows: Iterator[ScoreRow], cells: Mapping[ScorePlace, ScoreCell], by_sample: bool
) -> Iterator[tuple[tuple[int, int], ClusterSums]]:
    """What the scores of one item come to, by cell and sample."""
    values: dict[tuple[int, int], list[float]] = {}
    ranges: dict[int, ScoreCell] = {}
    for row in rows:
        cell = cells.get(row[:6])
        if cell is None or row.value is None or (cell.parsed_only and row.parse_reason is not None):
            continue
        ranges[cell.number] = cell
        values.setdefault((cell.number, row.sample_index if by_sample else 0), []).append(row.value)
    for key, found in values.items():
        cell = ranges[key[0]]
        yield key, ClusterSums.of_cluster(found, cell.lowest, cell.highest)


def ends_of(rows: Iterator[ScoreRow], *, by_sample: bool, by_metadata: bool) -> list[ScoreEnds]:
    """As `Store.score_ends`."""
    counts: Counter[ScoreEnds] = Counter()
    for row in rows:
        reason = None if row.value is not None else row.reason or "?"
        sample, digest = row.sample_index if by_sample else 0, row.item_digest if by_metadata else ""
        counts[ScoreEnds(*row[:6], row.parse, row.parsed, row.parse_reason, reason, 0, sample, digest)] += 1
    return sorted((end._replace(scores=count) for end, count in counts.items()), key=lambda end: end[:6])
