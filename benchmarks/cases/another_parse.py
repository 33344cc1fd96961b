"""Stored answers, read in another way: no call, every score anew."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import made
from benchmarks.bench import TWO_PARSES, Bench
from benchmarks.measuring import Figures, repeated
from benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    place = bench.replayed(bench.count(350_000), TWO_PARSES)
    model = made.recorded_model()

    def once(number: int) -> Figures:
        """With a parse that no run has had."""
        another = rf"(?m)^A: (.{{1,{number + 10}}})$"
        return bench.themis("run", made.spec_file(place, model, patterns=[another], name=f"another-{number}"))

    figures = repeated(once, bench.times(2))
    yield Row("350,000 stored, run with another parse: CPU s", figures.cpu_s, goal=40)
    yield Row("– peak MB", figures.peak_mb)
