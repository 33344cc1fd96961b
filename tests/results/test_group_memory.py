"""What is made of samples streams: memory grows neither with the items nor with the samples of all of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from made_runs import scorer

from themis_core import Generation, Item, Metric, OutcomeCount, RunRecord, Score, ScoreRow
from themis_core.results.aggregates import of_aggregate
from themis_core.results.groups import Grouping, grouped
from themis_core.results.held import SumsOfParts
from themis_core.testing.memory import MemoryStore
from themis_intervals import Interval

SAMPLES = 4


class Streaming(MemoryStore):
    """A store whose scores are made as they are read: by item, as stores give them, of four samples each."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items_in_it = items

    def outcomes(self, run_id: str) -> Sequence[OutcomeCount]:
        return [OutcomeCount("s", "m", "plain", "default", "answered", None, self.items_in_it * SAMPLES)]

    def scores_by_item(self, run_id: str, *, whole: bool = False) -> Iterator[ScoreRow]:
        for number in range(self.items_in_it):
            for sample in range(SAMPLES):
                value = float((number + sample) % 3 == 0)
                yield ScoreRow(
                    "s", "m", "plain", "default", "accuracy", "match", f"i{number}", sample, f"t{number}-{sample}",
                    "answered", value, None, "number", True, None, f"d{number}",
                    parts=(value, 1.0), extracted=f'"answer {number} {value}"' if whole else None,
                )  # fmt: skip


class Ratio(Metric):
    """A number of the sums of parts, as BLEU is."""

    aggregates_mean: ClassVar[bool] = False
    aggregates_smoothly: ClassVar[bool] = True
    sums_parts: ClassVar[bool] = True

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        raise AssertionError("scores are stored")

    def aggregate(self, scores: Iterable[Score]) -> float | None:
        parts = [score.parts for score in scores]
        return sum(right for right, _ in parts) / sum(all_of_them for _, all_of_them in parts) if parts else None


class Held(Ratio):
    sums_parts: ClassVar[bool] = False


def peak_of(items: int, grouping: Grouping, metric: Metric | None = None) -> tuple[int, Any]:
    """The most bytes that are in use while the groups are made, and what these come to."""
    benchmark = {
        "benchmark_id": "b",
        "slices": [{"slice_id": "s", "dataset": {"source": "x/y", "fields": {"output": "o"}}}],
    }
    manifest = {
        "trials": items * SAMPLES, "samples": {"s": SAMPLES}, "scorers": [scorer("s")], "dimensions": {},
        "benchmark": benchmark,
    }  # fmt: skip
    run = RunRecord("run", "completed", "2026-01-01", "2026-01-01", manifest, {})
    store = Streaming(items)
    tracemalloc.start()
    try:
        aggregates = {("s", "accuracy", "match"): metric} if metric else {}
        ((row,),) = grouped(store, run, aggregates, [grouping])
        return tracemalloc.get_traced_memory()[1], row
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("repeats", "value"),
    [
        # Of three items in a row, their samples are right at 0 and 3, at 2, and at 1: 2, 1 and 1 of 4.
        ("pass@2", (5 / 6 + 1 / 2 + 1 / 2) / 3),
        ("pass^2", (1 / 6 + 0 + 0) / 3),
        ("best@4", 1.0),
        ("worst@4", 0.0),
        ("majority@3", (1 / 2 + 0 + 0) / 3),  # of the first kind of item, two of the four threes have two right ones
    ],
)
def test_what_samples_make_is_streamed(repeats: str, value: float) -> None:
    grouping = Grouping((), repeats=repeats)
    few, _ = peak_of(300, grouping)
    many, row = peak_of(6_000, grouping)
    assert row.value == pytest.approx(value)
    assert (row.n, row.planned) == (6_000, 6_000)
    assert many < few + 60_000, "twenty times as many items take as much memory"


def test_the_measurement_sees_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a store that gives all rows at once takes as much more as there are more of them."""
    streamed = Streaming.scores_by_item
    monkeypatch.setattr(
        Streaming,
        "scores_by_item",
        lambda self, run_id, *, whole=False: iter(list(streamed(self, run_id, whole=whole))),
    )
    few, _ = peak_of(300, Grouping((), repeats="best@4"))
    many, _ = peak_of(6_000, Grouping((), repeats="best@4"))
    assert many > few + 1_000_000


def test_a_number_of_sums_of_parts_is_made_in_memory_that_does_not_grow() -> None:
    few, _ = peak_of(1_500, Grouping(()), Ratio())
    many, row = peak_of(3_000, Grouping(()), Ratio())
    assert many < few + 60_000
    kept, other = peak_of(3_000, Grouping(()), Held())
    assert kept > many + 500_000, "the control: a metric that may do anything with its scores has them all"
    assert (row.value, row.n, row.items, row.interval) == (other.value, 12_000, 3_000, "jackknife")
    assert row.value == pytest.approx(1 / 3)
    assert row.standard_error == pytest.approx(other.standard_error, rel=0.5)  # of 500 groups, and of 20


def test_each_of_a_few_items_is_left_out_of_sums_as_it_is_of_scores() -> None:
    for items in (2, 3, 100):
        _, row = peak_of(items, Grouping(()), Ratio())
        _, other = peak_of(items, Grouping(()), Held())
        assert (row.value, row.no_interval) == (other.value, other.no_interval)
        assert row.standard_error == pytest.approx(other.standard_error, rel=1e-9)
        assert (row.low, row.high) == pytest.approx((other.low, other.high), rel=1e-9)


def test_scores_with_unlike_parts_are_not_added_up(caplog: pytest.LogCaptureFixture) -> None:
    held = SumsOfParts()
    held.add(Score(1.0, parts=(1.0, 1.0)), new_item=True)
    held.add(Score(1.0, parts=(1.0,)), new_item=True)
    assert of_aggregate(Ratio(), held, "ratio") == (None, None, Interval(missing="aggregate_failed"))
    assert "metric 'ratio': its scores have unlike numbers of `parts`" in caplog.text
