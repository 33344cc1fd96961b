"""A run that is complete, run again: nothing is asked and nothing scored."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import TWO_PARSES, Bench
from benchmarks.measuring import repeated
from benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    place = bench.replayed(bench.count(350_000), TWO_PARSES)
    again = repeated(lambda number: bench.themis("run", place / "spec.json"), bench.times(3))
    yield Row("350,000 stored, an identical re-run: CPU s", again.cpu_s, goal=10)
    yield Row("– peak MB", again.peak_mb, goal=100)
