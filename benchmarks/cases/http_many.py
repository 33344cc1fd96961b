"""Four times as many: whether a trial's cost and the memory stay."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.over_http import with_bare_loops
from benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(20_000)
    themis, bare = with_bare_loops(bench, count, 0)
    costs = {client: 1000 * each.cpu_s / count for client, each in bare.items()}
    yield Row("20,000 at 0 ms: CPU ms a trial", 1000 * themis.cpu_s / count, costs, goal=0.40)
    yield Row("– wall s", themis.wall_s, {client: each.wall_s for client, each in bare.items()}, goal=9)
    yield Row("– peak MB", themis.peak_mb, {client: each.peak_mb for client, each in bare.items()}, goal=90)
