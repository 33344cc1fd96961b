"""What is made of samples streams: memory grows neither with the items nor with the samples of all of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from made_runs import scorer

from themis_core import OutcomeCount, RunRecord, ScoreRow
from themis_core.results.groups import Grouping, grouped
from themis_core.testing.memory import MemoryStore

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
                    extracted=f'"answer {number} {value}"' if whole else None,
                )  # fmt: skip


def peak_of(items: int, grouping: Grouping) -> tuple[int, Any]:
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
        ((row,),) = grouped(store, run, {}, [grouping])
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
