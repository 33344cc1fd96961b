"""A metric that takes 5 ms, asleep or computing, beside one that takes none: 2,000 at 50 ms.

It is to take no more time than the cores allow, and to change no stored latency. One that computes shares all cores
with the run and with the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import made
from benchmarks.bench import Bench, latency_s
from benchmarks.measuring import CLIENT_CORE, CORES, Figures, cpu_so_far
from benchmarks.over_http import server, with_themis
from benchmarks.table import Row

SECONDS = 0.005
SHARES = {"median": 0.5, "95th percentile": 0.95}


@dataclass(frozen=True, slots=True)
class Run:
    figures: Figures
    latencies: dict[str, float]
    """The least of each stored latency in ms."""
    served_s: float
    """The least CPU that the server took."""


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(2_000)
    with server(0.05) as started:
        free = of_metric(bench, started, count, made.FREE)
        asleep = of_metric(bench, started, count, {"id": "slow/sleeps", "config": {"seconds": SECONDS}})
        computes = {"id": "slow/computes", "config": {"seconds": SECONDS}}
        computing = of_metric(bench, started, count, computes, core=None)
    on_cores = max(free.figures.wall_s, (free.figures.cpu_s + free.served_s + count * SECONDS) / len(CORES))
    yield Row(
        "a metric that sleeps 5 ms, 2,000 at 50 ms: wall s",
        asleep.figures.wall_s,
        {"a free metric": free.figures.wall_s},
        goal=1.2 * free.figures.wall_s,
    )
    yield from latencies(free, asleep)
    yield Row(
        "one that computes for 5 ms, on all cores: wall s",
        computing.figures.wall_s,
        {"what the cores allow": on_cores, "a free metric": free.figures.wall_s},
        goal=1.2 * on_cores,
    )
    yield from latencies(free, computing)


def of_metric(bench: Bench, started: Any, count: int, metric: object, core: int | None = CLIENT_CORE) -> Run:
    found: list[dict[str, float]] = []
    served = [cpu_so_far(started.pid)]

    def read(place: Path) -> None:
        found.append({name: 1000 * latency_s(place, share) for name, share in SHARES.items()})
        served.append(cpu_so_far(started.pid))

    figures = with_themis(bench, started.base_url, count, read, metrics=(metric,), core=core)
    least = {name: min(each[name] for each in found) for name in SHARES}
    return Run(figures, least, min(after - before for before, after in pairwise(served)))


def latencies(free: Run, slow: Run) -> Iterator[Row]:
    for name, before in free.latencies.items():
        yield Row(f"– stored latency, {name}: ms", slow.latencies[name], {"a free metric": before}, goal=1.1 * before)
