"""Processes that are killed: at random instants, at named instants, and while they resume."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.benchmark import IN_FLIGHT, Benchmark, make_benchmark
from lab.checking import copied, ended_well, now
from lab.failpoints import FAILPOINTS
from lab.invariants import request_problems
from lab.workers import Fault, Worker, Workers, wait_until

from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]

FAULTS = {
    "while the tables are made": Fault("w", ".part", "tear"),
    "before the new file is synced": Fault("s", ".part", "kill"),
    "in the middle of a write to the log": Fault("w", "themis.sqlite3-wal", "tear"),
    "before a sync of the log": Fault("s", "themis.sqlite3-wal", "kill"),
    "during a checkpoint": Fault("w", "themis.sqlite3", "tear", nth=40),
    "before a checkpoint is synced": Fault("s", "themis.sqlite3", "kill", nth=3),
}


def run_with_kills(
    workers: Workers, benchmark: Benchmark, folder: Path, kills: int, moment: Callable[[int, Worker], None]
) -> tuple[int, list[str]]:
    """Run it, killed so often when `moment` returns, and look at a copy each time. Kills in time, and problems."""
    found: list[str] = []
    count = killed = 0
    for number in range(kills):
        worker = workers.start(benchmark)
        moment(number, worker)
        worker.kill()
        killed += worker.wait() == -9
        acknowledged = benchmark.acknowledged()
        if len(acknowledged) < count:
            found.append("fewer: the acknowledged trials became fewer")
        count = len(acknowledged)
        found += now(copied(benchmark, folder / "copy"), acknowledged)
    worker = workers.start(benchmark)
    assert worker.wait() == 0, worker.said
    return killed, found


def more_acknowledged(benchmark: Benchmark, worker: Worker, more: int) -> None:
    """Return when so many more trials are acknowledged than now."""
    wanted = benchmark.count() + more
    wait_until(lambda: benchmark.count() >= wanted or worker.ended, pause=0.001)


def test_kills_at_random_instants_lose_and_repeat_nothing(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    trials, runs, each = 500, count(20, 1), 5
    draw, expected, kills, requests = random.Random(1), quiet(trials), 0, 0
    for number in range(runs):
        server.reset({"latency_s": 0.01})
        benchmark = make_benchmark(tmp_path / str(number), server.base_url, trials=trials)

        def at_random(before: int, worker: Worker, benchmark: Benchmark = benchmark) -> None:
            """By progress, because by the clock a busy machine would be killed before it has begun."""
            more_acknowledged(benchmark, worker, draw.randint(1, 80))
            time.sleep(draw.uniform(0, 0.02))

        more, found = run_with_kills(workers, benchmark, tmp_path, each, at_random)
        assert found == []
        assert ended_well(benchmark, server, expected) == []
        assert server.count <= trials + IN_FLIGHT * more
        kills, requests = kills + more, requests + server.count
    assert kills > 0.9 * runs * each
    figures(kills=kills, runs=runs, trials=trials * runs, requests=requests, lost=0, doubled=0)


def test_kills_while_resuming_lose_and_repeat_nothing(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    trials, runs, each = 500, count(10, 1), 5
    draw, expected, kills = random.Random(2), quiet(trials), 0
    for number in range(runs):
        server.reset({"latency_s": 0.01})
        benchmark = make_benchmark(tmp_path / str(number), server.base_url, trials=trials)

        def early(before: int, worker: Worker, benchmark: Benchmark = benchmark) -> None:
            """The first execution gets half-way; the others are killed up to their first new request."""
            if not before:
                more_acknowledged(benchmark, worker, trials // 2)
            elif before % 2:
                time.sleep(draw.uniform(0.01, 0.3))
            else:
                asked = server.count
                wait_until(lambda: server.count > asked or worker.ended)

        more, found = run_with_kills(workers, benchmark, tmp_path, 1 + each, early)
        assert found == []
        assert ended_well(benchmark, server, expected) == []
        assert server.count <= trials + IN_FLIGHT * more
        kills += more - 1
    assert kills > 0.9 * runs * each
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
        worker = workers.start(benchmark, broken=broken)
        more_acknowledged(benchmark, worker, 60)
        worker.kill()
        worker.wait()
        found += now(benchmark, benchmark.acknowledged())
    found += request_problems(benchmark, benchmark.acknowledged(), server.requests())
    assert caught in {each.partition(":")[0] for each in found}
