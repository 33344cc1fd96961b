"""`themis plan` of what is stored: a look-up for each trial."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measuring import repeated
from benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    place = bench.replayed(bench.count(100_000))
    figures = repeated(lambda number: bench.themis("plan", place / "spec.json"), bench.times(3))
    yield Row("`plan` of 100,000 stored: wall s", figures.wall_s, goal=3)
    yield Row("– peak MB", figures.peak_mb)
