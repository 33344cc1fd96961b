"""A server that takes 200 ms, and very many in flight: the share of the rate that the latency allows.

The wall time of one trial, without its latency, is taken off first: that is the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.bench import Bench
from benchmarks.measuring import Figures
from benchmarks.over_http import CLIENTS, bare_loop, server, with_themis
from benchmarks.table import Row

LATENCY_S = 0.2
GOALS = {256: 90, 512: 80}
ROUNDS = 20
"""Answers one after another in each place in flight."""


def rows(bench: Bench) -> Iterator[Row]:
    with server(LATENCY_S) as started:
        for in_flight, goal in GOALS.items():
            yield row(bench, started.base_url, in_flight, goal)


def row(bench: Bench, url: str, in_flight: int, goal: int) -> Row:
    count = bench.count(ROUNDS * in_flight)

    def themis(trials: int) -> Figures:
        return with_themis(bench, url, trials, times=2, policy={"max_in_flight_work_items": in_flight})

    def bare(client: str) -> float:
        return share(lambda trials: bare_loop(bench, client, url, trials, in_flight, times=2), count, in_flight)

    found = share(themis, count, in_flight)
    name = f"200 ms, {in_flight} in flight: % of the ideal rate"
    return Row(name, found, {client: bare(client) for client in CLIENTS}, goal=goal, at_least=True)


def share(measure: Callable[[int], Figures], count: int, in_flight: int) -> float:
    """Per cent of the rate at which every place in flight has an answer every 200 ms."""
    start = measure(1).wall_s - LATENCY_S
    return 100 * LATENCY_S * count / in_flight / (measure(count).wall_s - start)
