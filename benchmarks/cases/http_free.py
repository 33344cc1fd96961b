"""A server that answers at once: what a trial costs the client, its start shared out among 5,000."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.over_http import with_bare_loops
from benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(5_000)
    themis, bare = with_bare_loops(bench, count, 0)
    costs = {client: 1000 * each.cpu_s / count for client, each in bare.items()}
    yield Row("5,000 at 0 ms: CPU ms a trial", 1000 * themis.cpu_s / count, costs, goal=0.42)
