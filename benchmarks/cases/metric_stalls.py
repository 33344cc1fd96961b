"""A metric that takes 1.5 s once in a hundred, while a request may take 1 s: no reply is lost, none is paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.over_http import server, with_themis
from benchmarks.table import Row

POLICY = {"attempt_timeout_s": 1}


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(400)
    stalls = {"id": "slow/stalls", "config": {"seconds": 1.5, "every": 100}}
    with server(0.05) as started:
        free = with_themis(bench, started.base_url, count, policy=POLICY)
        requests = []

        def read(place: Path) -> None:
            requests.append(started.count)
            started.reset()

        started.reset()
        stalled = with_themis(bench, started.base_url, count, read, metrics=(stalls,), policy=POLICY)
    yield Row("a metric of 1.5 s once in 100, 400 at 50 ms: requests", max(requests), {"trials": count}, goal=count)
    yield Row("– wall s", stalled.wall_s, {"a free metric": free.wall_s})
