"""What runs of a million, a hundred million and ten thousand million trials need, and where each part is full."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.scaling.queues import Station, mmc_response_s, symmetric

__all__ = [
    "AS_MEASURED", "FIGURES", "SITUATIONS", "SIZES", "Figures", "Needs", "Situation", "needs", "on_two_cores",
    "rate_of", "slower_by",
]  # fmt: skip

FIGURES = Path(__file__).with_name("figures.toml")
BENCH_SERVER_MS = 0.085
"""CPU a request of the scripted server, which shares the two cores on which all of it was measured."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The inputs; figures.toml says what each is and who measures it."""

    worker_cpu_ms: float
    postgres_cpu_ms: float
    stored_kb: float
    indices_kb: float
    wal_kb: float
    commit_ms: float
    group: float
    plan_ms: float
    plan_kb: float
    result_ms: float
    parquet_kb: float
    parquet_text: float
    cores: float
    busy: float
    in_flight: float
    disk_mb_s: float
    usd_core_hour: float
    usd_ssd_gb_month: float
    usd_object_gb_month: float

    @classmethod
    def read(cls, path: Path = FIGURES) -> Figures:
        """Raises ValueError if the file has other figures."""
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        if set(found) != {each.name for each in fields(cls)}:
            raise ValueError(f"{path.name} has other figures than {cls.__name__}")
        return cls(**{name: float(each["value"]) for name, each in found.items()})


@dataclass(frozen=True, slots=True)
class Situation:
    """A kind of trial."""

    name: str
    latency_s: float
    """Of a model's answer."""
    text_kb: float
    """Of question and answer."""


SITUATIONS = (
    Situation("short answers", 0.2, 0.5),
    Situation("answers of a hosted model", 2.0, 4.0),
    Situation("long reasoning", 60.0, 32.0),
)
AS_MEASURED = Situation("as measured", 0.02, 0.5)
"""The trials of the benchmark."""
SIZES = ((10**6, 1), (10**8, 24), (10**10, 14 * 24))
"""Trials, and the hours in which they are to be done."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs to be done in time."""

    rate: float
    """Trials a second."""
    in_flight: float
    workers: int
    machines: int
    """For the workers alone."""
    postgres_cores: int
    wal_mb_s: float
    stored_gb: float
    indices_gb: float
    usd_machines: float
    usd_ssd_month: float
    usd_object_month: float
    plan_h: float
    """CPU of each worker to plan the whole."""
    plan_gb: float
    """Memory of each worker for it."""
    result_h: float


def stations(f: Figures, postgres_cores: int, text_kb: float) -> tuple[list[Station], list[Station]]:
    """What each worker has of its own, and what all share.

    A worker commits on one connection, one group after another; the flush of the disk serves all that wait for it.
    """
    own = [
        Station("core of the worker", f.worker_cpu_ms / 1000),
        Station("commits of the worker", f.commit_ms / f.group / 1000),
    ]
    return own, [
        Station("cores of Postgres", f.postgres_cpu_ms / 1000, postgres_cores),
        Station("disk of Postgres", (f.wal_kb + text_kb) / 1000 / f.disk_mb_s),
    ]


def rate_of(f: Figures, workers: int, postgres_cores: int, situation: Situation) -> tuple[float, str]:
    """Trials a second of all workers together, and what limits them: what is busiest, or the requests in flight."""
    own, shared = stations(f, postgres_cores, situation.text_kb)
    rate = symmetric(own, shared, situation.latency_s, round(f.in_flight), workers)
    loads = [(rate / workers * each.demand_s, each.name) for each in own]
    loads += [(rate * each.demand_s / each.servers, each.name) for each in shared]
    if rate > 0.95 * workers * round(f.in_flight) / situation.latency_s:
        return rate, "requests in flight"
    return rate, max(loads)[1]


def on_two_cores(f: Figures, workers: int, latency_s: float, in_flight: int) -> float:
    """Trials a second where workers, Postgres and the server of the benchmark share two cores; a worker can use one."""
    cores = Station("both cores", (f.worker_cpu_ms + f.postgres_cpu_ms + BENCH_SERVER_MS) / 1000, 2)
    commits = Station("commits", f.commit_ms / f.group / 1000, workers)
    return min(symmetric([], [cores, commits], latency_s, in_flight, 1), workers * 1000 / f.worker_cpu_ms)


def slower_by(f: Figures, busy: float, cores: int) -> float:
    """How many times as long as its work a transaction takes, as M/M/c, if this share of Postgres's cores is busy."""
    service_s = f.postgres_cpu_ms * f.group / 1000
    return mmc_response_s(busy * cores / service_s, service_s, cores) / service_s


def needs(f: Figures, situation: Situation, trials: int, hours: float) -> Needs:
    """What so many trials of a kind need in so many hours."""
    rate = trials / (3600 * hours)
    in_flight = rate * situation.latency_s  # Little 1961
    workers = max(math.ceil(rate * f.worker_cpu_ms / 1000 / f.busy), math.ceil(in_flight / f.in_flight))
    postgres_cores = math.ceil(rate * f.postgres_cpu_ms / 1000 / f.busy)
    stored_gb = trials * (f.stored_kb + situation.text_kb) / 1e6
    archived_gb = trials * (f.parquet_kb + f.parquet_text * situation.text_kb) / 1e6
    return Needs(
        rate,
        in_flight,
        workers,
        math.ceil(workers / f.cores),
        postgres_cores,
        rate * (f.wal_kb + situation.text_kb) / 1000,
        stored_gb,
        trials * f.indices_kb / 1e6,
        (workers + postgres_cores) * hours * f.usd_core_hour,
        stored_gb * f.usd_ssd_gb_month,
        archived_gb * f.usd_object_gb_month,
        trials * f.plan_ms / 3.6e6,
        trials * f.plan_kb / 1e6,
        trials * f.result_ms / 3.6e6,
    )
