"""Queues: M/M/c in closed form, and closed networks by mean value analysis, exact or approximate.

Times are in seconds, rates in 1/s. A station's demand is the time that a customer needs of it in all, without waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Station", "erlang_c", "exact", "mmc_response_s", "symmetric"]


@dataclass(frozen=True, slots=True)
class Station:
    """What customers wait for one another at."""

    name: str
    demand_s: float
    servers: int = 1


def erlang_c(load: float, servers: int) -> float:
    """Probability that a customer of M/M/c has to wait (Erlang 1917); `load` is arrival rate × service time.

    By the recurrence of Erlang's B formula, which neither overflows nor cancels. 1 if the load is too much.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return servers * blocked / (servers - load * (1.0 - blocked))


def mmc_response_s(rate: float, service_s: float, servers: int) -> float:
    """Mean time in an M/M/c queue, service included. Infinite if the load is too much."""
    load = rate * service_s
    if load >= servers:
        return float("inf")
    return service_s + erlang_c(load, servers) * service_s / (servers - load)


def exact(stations: Sequence[Station], think_s: float, customers: int) -> float:
    """Throughput of a closed network of one class, by exact mean value analysis (Reiser and Lavenberg 1980).

    Each customer thinks, then visits every station once, in any order; service times are exponential. Stations have one
    server: with several, the recurrence loses all its digits as they fill up.
    """
    if any(each.servers != 1 for each in stations):
        raise ValueError("stations have one server here: `symmetric` takes several")
    queue = [0.0] * len(stations)
    rate = 0.0
    for number in range(1, customers + 1):
        response = [each.demand_s * (1.0 + length) for each, length in zip(stations, queue, strict=True)]
        rate = number / (think_s + sum(response))
        queue = [rate * each for each in response]
    return rate


def symmetric(own: Sequence[Station], shared: Sequence[Station], think_s: float, customers: int, classes: int) -> float:
    """Throughput of equal classes together, such as workers: each has stations of its own, and all share some.

    By the approximation of Schweitzer (1979), in which an arriving customer finds what the others leave at any time;
    several servers are one fast server and a delay (Seidmann 1987). Exact for one customer; else within some per cent.
    """
    delay = think_s + sum(each.demand_s * (each.servers - 1) / each.servers for each in (*own, *shared))
    demands = [each.demand_s / each.servers for each in (*own, *shared)]
    seen_by = [1] * len(own) + [classes] * len(shared)
    queue = [customers / (len(demands) or 1)] * len(demands)
    rate = 0.0
    for _ in range(100_000):
        response = [
            demand * (1.0 + many * length - length / customers)
            for demand, many, length in zip(demands, seen_by, queue, strict=True)
        ]
        before, rate = rate, customers / (delay + sum(response))
        queue = [rate * each for each in response]
        if abs(rate - before) <= 1e-12 * rate:
            break
    return classes * rate
