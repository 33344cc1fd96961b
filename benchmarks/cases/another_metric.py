"""Stored answers and one metric more: what that metric's score costs, start included."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks import made
from benchmarks.bench import Bench
from benchmarks.measuring import Figures
from benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(20_000)
    before = bench.replayed(count)

    def once(place: Path) -> Figures:
        shutil.copytree(before, place, dirs_exist_ok=True)
        metrics = (made.FREE, "text/exact_match")
        return bench.themis("run", made.spec_file(place, made.recorded_model(), metrics=metrics))

    figures = bench.repeated(once)
    yield Row("20,000 stored, one more metric: CPU ms a trial", 1000 * figures.cpu_s / count, goal=0.1)
