"""What a store must say of its scores' sums, as part of its compliance suite: the same as row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from themis_core.components import Store
from themis_core.components.summing import ends_of, sums_of
from themis_core.records import Extraction, Item, ItemRecorded, Score, ScoreCell, ScoreEnds, ScoreSums, TrialFinished
from themis_core.testing.events import key_of, run_started, score_entry, trial_finished
from themis_intervals import ClusterSums

__all__ = ["SumRules"]


class SumRules:
    """Part of `StorageBackendSuite`."""

    @pytest.mark.parametrize("by_sample", [False, True])
    @pytest.mark.parametrize("by_metadata", [False, True])
    def test_scores_are_added_up_to_the_same_as_row_by_row(
        self, store: Store, by_sample: bool, by_metadata: bool
    ) -> None:
        """`score_sums` and `score_ends` say what the implementation of `Store` makes of `scores_by_item`."""
        items = [Item(str(n), {}, "4", {"kind": n % 3} if n else {}, digest=key_of(f"item {n}")) for n in range(11)]
        store.append([run_started(), *map(ItemRecorded, items), *_scored_trials()])
        store.append([trial_finished("1", run_id="other", scores=(score_entry("of another run", Score(0.5)),))])
        places = sorted({row[:6] for row in store.score_rows("run")})
        # Both slices of a model and metric are one cell, so both slices' answers to an item are one cluster; `left out`
        # has none.
        names = sorted({(place[1], place[5]) for place in places if place[5] != "left out"})
        cells = {
            place: ScoreCell(
                names.index((place[1], place[5])), 0.0, None if place[5] == "far" else 1.0, place[1] == "m"
            )
            for place in places
            if place[5] != "left out"
        }
        found = _by_place(store, store.score_sums("run", cells, by_sample=by_sample, by_metadata=by_metadata))
        rows = store.scores_by_item("run")
        expected = _by_place(store, sums_of(rows, cells, by_sample=by_sample, by_metadata=by_metadata))
        assert list(found) == list(expected)
        assert {place[0] for place in found} == {names.index(name) for name in names if name[1] != "never"}
        for place, each in expected.items():
            assert found[place] == pytest.approx(each, rel=1e-6, abs=1e-6), place
        ends = list(store.score_ends("run", by_sample=by_sample, by_metadata=by_metadata))
        assert [end[:6] for end in ends] == sorted(end[:6] for end in ends)
        same = ends_of(store.scores_by_item("run"), by_sample=by_sample, by_metadata=by_metadata)
        assert _counted(store, ends) == _counted(store, same)
        assert list(store.score_sums("unknown", cells)) == []
        assert list(store.score_sums("run", {})) == []
        assert list(store.score_ends("unknown")) == []

    def test_what_does_not_differ_has_no_spread(self, store: Store) -> None:
        """Sums of values that are alike, or of items that are, come out without what rounding would leave."""
        values = {"alike": (0.1, 0.1, 0.1), "items": (0.0, 0.0, 1.0)}
        store.append(
            [
                trial_finished(
                    str(item),
                    sample_index=sample,
                    trial_id=key_of(f"{item} {sample}"),
                    scores=tuple(
                        score_entry(f"{item} {sample} {metric}", Score(of_metric[sample]), metric=metric)
                        for metric, of_metric in values.items()
                    ),
                )
                for item in range(7)
                for sample in range(3)
            ]
        )
        places = sorted({row[:6] for row in store.score_rows("run")})
        cells = {place: ScoreCell(number, 0.0, 1.0) for number, place in enumerate(places)}
        alike, items = (each.sums for each in sorted(store.score_sums("run", cells)))
        assert (alike.n, alike.clusters, alike.mean, alike.squares, alike.binary) == (21, 7, 0.1, 0.0, False)
        assert items.binary
        assert items.mean == pytest.approx(1 / 3)
        assert items.squares == pytest.approx(0.0, abs=1e-24)


def _scored_trials() -> Iterator[TrialFinished]:
    """Items of several samples, models and slices, with values of all kinds, and some without any."""
    nothing, unread = Extraction(None, "no_match"), Extraction(None, "broken")
    for number in range(60):
        item, slice_id, model = str(number % 12), "ab"[number % 5 % 2], "mM"[number // 12 % 2]
        scores = (
            ("match", Score(float(number % 3 == 0)), nothing if number % 4 == 0 else Extraction("4")),
            ("far", Score(1e6 + number / 7), Extraction("4")),
            (
                "partly",
                Score(None, "broken") if number % 5 == 0 else Score(number / 60),
                unread if number % 2 else Extraction("4"),
            ),
            ("never", Score(None, "no_reference"), None),
            ("left out", Score(1.0), Extraction("4")),
        )
        yield trial_finished(
            item,
            slice_id=slice_id,
            model_id=model,
            sample_index=number // 24,
            trial_id=key_of(f"summed {number}"),
            scores=tuple(
                score_entry(f"{number} {metric}", score, metric=metric, extraction=extraction)
                for metric, score, extraction in scores
            ),
        )


def _by_place(store: Store, rows: Iterable[ScoreSums]) -> dict[tuple[Any, ...], ClusterSums]:
    """The sums by cell, sample and metadata."""
    found: dict[tuple[Any, ...], ClusterSums] = {}
    for each in rows:
        place = (each.cell, each.sample_index, _metadata(store, each.item_digest))
        found[place] = found[place].joined(each.sums) if place in found else each.sums
    return dict(sorted(found.items()))


def _counted(store: Store, ends: Iterable[ScoreEnds]) -> Counter[tuple[Any, ...]]:
    counts: Counter[tuple[Any, ...]] = Counter()
    for end in ends:
        counts[*end[:10], end.sample_index, _metadata(store, end.item_digest)] += end.scores
    return counts


def _metadata(store: Store, digest: str) -> str:
    return str(store.metadata([digest]).get(digest)) if digest else ""
