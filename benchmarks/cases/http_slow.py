"""A server that takes 50 ms, 64 in flight: how much longer a run takes than its answers do."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.made import IN_FLIGHT
from benchmarks.over_http import with_bare_loops
from benchmarks.table import Row

LATENCY_S = 0.05


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(2_000)
    themis, bare = with_bare_loops(bench, count, LATENCY_S)
    walls = {client: each.wall_s for client, each in bare.items()} | {"ideal": count * LATENCY_S / IN_FLIGHT}
    yield Row("2,000 at 50 ms: wall s", themis.wall_s, walls, goal=2.3)
