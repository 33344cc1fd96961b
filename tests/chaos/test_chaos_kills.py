"""Processes that are killed: at random instants, at named instants, and while they resume."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.benchmark import IN_FLIGHT, Benchmark, make_benchmark
from lab.checking import copied, ended_well, now
from lab.failpoints import FAILPOINTS
from lab.invariants import request_problems
from lab.workers import Fault, Worker, Workers

from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]

FAULTS = {
    "while the tables are made": Fault("w", "themis.sqlite3", "tear"),
    "while the tables are journalled": Fault("w", "themis.sqlite3-journal", "tear"),
    "in the middle of a write to the log": Fault("w", "themis.sqlite3-wal", "tear"),
    "before a sync of the log": Fault("s", "themis.sqlite3-wal", "kill"),
    "during a checkpoint": Fault("w", "themis.sqlite3", "tear", nth=40),
    "before a checkpoint is synced": Fault("s", "themis.sqlite3", "kill", nth=3),
}


def killed_within(worker: Worker, seconds: float) -> bool:
    """Kill the worker after so long; False if it ended by itself before."""
    try:
        assert worker.wait(seconds) == 0, worker.said
    except TimeoutError:
        worker.kill()
        return worker.wait() < 0
    return False


def run_with_kills(
    workers: Workers, benchmark: Benchmark, folder: Path, waits: Callable[[int], float | None]
) -> tuple[int, list[str]]:
    """Start, kill after `waits(number of kills)` seconds (None: let it end), look, and go on until it ended."""
    kills, count = 0, 0
    found: list[str] = []
    while True:
        worker = workers.start(benchmark)
        wait = waits(kills)
        if wait is None:
            assert worker.wait() == 0, worker.said
            return kills, found
        if not killed_within(worker, wait):
            return kills, found
        kills += 1
        acknowledged = benchmark.acknowledged()
        if len(acknowledged) < count:
            found.append("fewer: the acknowledged trials became fewer")
        count = len(acknowledged)
        found += now(copied(benchmark, folder / "copy"), acknowledged)


def test_kills_at_random_instants_lose_and_repeat_nothing(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    trials, wanted, kills, requests, runs = 500, count(100, 4), 0, 0, 0
    draw = random.Random(1)
    expected = quiet(trials)

    def at_random(before: int) -> float | None:
        return draw.uniform(0.02, 0.7) if before < min(8, wanted) else None

    while kills < wanted:
        server.reset({"latency_s": 0.01})
        runs += 1
        benchmark = make_benchmark(tmp_path / str(runs), server.base_url, trials=trials)
        more, found = run_with_kills(workers, benchmark, tmp_path, at_random)
        assert found == []
        assert ended_well(benchmark, server, expected) == []
        assert server.count <= trials + IN_FLIGHT * more
        kills, requests = kills + more, requests + server.count
    figures(kills=kills, runs=runs, trials=trials * runs, requests=requests, lost=0, doubled=0)


def test_kills_while_resuming_lose_and_repeat_nothing(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    trials, wanted, kills, runs = 500, count(50, 5), 0, 0
    draw = random.Random(2)
    expected = quiet(trials)
    while kills < wanted:
        server.reset({"latency_s": 0.01})
        runs += 1
        benchmark = make_benchmark(tmp_path / str(runs), server.base_url, trials=trials)

        def early(before: int) -> float | None:
            """The first execution gets half-way; five more are killed while they look up what is there."""
            if before > 5:
                return None
            return draw.uniform(0.01, 0.25) if before else 0.6

        more, found = run_with_kills(workers, benchmark, tmp_path, early)
        assert found == []
        assert ended_well(benchmark, server, expected) == []
        assert server.count <= trials + IN_FLIGHT * more
        kills += max(more - 1, 0)
    figures(kills=kills, runs=runs, lost=0, doubled=0)


def test_kills_at_named_instants_lose_and_repeat_nothing(
    shimmed: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    trials, draw = 80, random.Random(3)
    places = [*FAILPOINTS, *FAULTS]
    expected = quiet(trials)
    reached = dict.fromkeys(places, 0)
    for number in range(count(104, len(places))):
        place = places[number % len(places)]
        server.reset({"latency_s": 0.002})
        benchmark = make_benchmark(tmp_path / str(number), server.base_url, trials=trials)
        nth = draw.randint(1, 5)
        if place in FAILPOINTS:
            worker = shimmed.start(benchmark, failpoint=place, nth=nth)
        else:
            fault = FAULTS[place]
            nth_call = fault.nth + nth - 1 if "tables" not in place else draw.randint(1, 3)
            exact = Fault(fault.what, fault.suffix, fault.action, nth_call)
            worker = shimmed.start(benchmark, fault=exact, checkpoint_pages=15)
        reached[place] += worker.wait() == -9
        assert now(copied(benchmark, tmp_path / "copy"), benchmark.acknowledged()) == [], place
        assert shimmed.run(benchmark) == 0
        assert ended_well(benchmark, server, expected) == [], place
        assert server.count <= trials + IN_FLIGHT, place
    assert all(reached.values()), f"a place that no kill reached tests nothing: {reached}"
    figures(kills=sum(reached.values()), places=len(places), lost=0, doubled=0)


@pytest.mark.parametrize(
    ("broken", "caught"),
    [("acknowledges before the commit", "lost"), ("loses a batch", "lost"), ("finds nothing stored", "paid twice")],
)
def test_a_broken_store_is_caught_by_the_same_check(
    workers: Workers, server: ScriptedServer, tmp_path: Path, broken: str, caught: str
) -> None:
    benchmark = make_benchmark(tmp_path / "run", server.base_url, trials=500)
    found: list[str] = []
    for _ in range(3):
        killed = killed_within(workers.start(benchmark, broken=broken), 0.55)
        found += now(benchmark, benchmark.acknowledged())
        if not killed:
            break
    found += request_problems(benchmark, benchmark.acknowledged(), server.requests())
    assert caught in {each.partition(":")[0] for each in found}
