"""A metric that takes 20 ms: as an `async` one that asks a service, and in 8 threads. 2,000 at 50 ms."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import made
from benchmarks.bench import Bench
from benchmarks.over_http import server, with_themis
from benchmarks.table import Row

SECONDS = 0.02
THREADS = 8
"""As the metric says."""


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(2_000)
    with server(0.05) as started:
        free, asked, slept = (
            with_themis(bench, started.base_url, count, metrics=(metric,)).wall_s
            for metric in (
                made.FREE,
                {"id": "slow/asks", "config": {"seconds": SECONDS}},
                {"id": "slow/sleeps", "config": {"seconds": SECONDS}},
            )
        )
    threads = max(free, count * SECONDS / THREADS)
    yield Row("an async metric of 20 ms: wall s", asked, {"a free metric": free}, goal=1.2 * free)
    yield Row("one of 20 ms in 8 threads: wall s", slept, {"what 8 allow": threads}, goal=1.2 * threads)
