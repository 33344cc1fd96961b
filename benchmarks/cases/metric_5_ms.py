"""A metric that takes 5 ms, asleep or computing, beside one that takes none: 2,000 at 50 ms.

It is to take no more time than the cores allow, and to change no stored latency.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import made
from benchmarks.bench import Bench, latency_s
from benchmarks.measuring import CLIENT_CORE, CORES, Figures
from benchmarks.over_http import server, with_themis
from benchmarks.table import Row

SECONDS = 0.005
SHARES = {"median": 0.5, "95th percentile": 0.95}


def rows(bench: Bench) -> Iterator[Row]:
    count = bench.count(2_000)
    with server(0.05) as started:
        url = started.base_url
        free, before = of_metric(bench, url, count, made.FREE)
        slept, sleeping = of_metric(bench, url, count, {"id": "slow/sleeps", "config": {"seconds": SECONDS}})
        computing = {"id": "slow/computes", "config": {"seconds": SECONDS}}
        computed, computing_latencies = of_metric(bench, url, count, computing, core=None)
    on_cores = max(free.wall_s, (free.cpu_s + count * SECONDS) / len(CORES))
    yield Row(
        "a metric that sleeps 5 ms, 2,000 at 50 ms: wall s",
        slept.wall_s,
        {"a free metric": free.wall_s},
        goal=1.2 * free.wall_s,
    )
    yield from latencies(before, sleeping)
    yield Row(
        "one that computes for 5 ms, on all cores: wall s",
        computed.wall_s,
        {"what the cores allow": on_cores, "a free metric": free.wall_s},
        goal=1.2 * on_cores,
    )
    yield from latencies(before, computing_latencies)


def of_metric(
    bench: Bench, url: str, count: int, metric: object, core: int | None = CLIENT_CORE
) -> tuple[Figures, dict[str, float]]:
    """Figures, and the least of each stored latency in ms."""
    found: list[dict[str, float]] = []

    def read(place: Path) -> None:
        found.append({name: 1000 * latency_s(place, share) for name, share in SHARES.items()})

    figures = with_themis(bench, url, count, read, metrics=(metric,), core=core)
    return figures, {name: min(each[name] for each in found) for name in SHARES}


def latencies(free: dict[str, float], found: dict[str, float]) -> Iterator[Row]:
    for name in SHARES:
        yield Row(f"– stored latency, {name}: ms", found[name], {"a free metric": free[name]}, goal=1.1 * free[name])
