"""Workers of one run on Postgres, killed and replaced: nothing is lost or double, and little is asked twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from lab.benchmark import IN_FLIGHT, Benchmark, make_benchmark
from lab.checking import ended_well, opened
from lab.workers import Worker, Workers, wait_until

from themis_core import WorkOrder
from themis_core.planning import survey
from themis_core.plugins import Plugins, compose
from themis_core.reading import load_specs
from themis_core.testing.postgres import PostgresServer
from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200
TEAM = 4
EACH = IN_FLIGHT // TEAM
"""Calls that one worker may have in flight."""
LEASE_S = 3


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        yield started


@pytest.fixture
def made(postgres: PostgresServer, server: ScriptedServer, tmp_path: Path) -> Callable[[], Benchmark]:
    """Makes a benchmark in a database of its own, the model server's ledger empty."""
    made = iter(range(1_000))

    def make() -> Benchmark:
        server.reset({"latency_s": 0.1})
        storage = {
            "backend": "postgres",
            "url": postgres.new_database(),
            "inline_limit_bytes": 1024,
            "blobs": "store/blobs",
            "lease_s": LEASE_S,
        }
        return make_benchmark(tmp_path / str(next(made)), server.base_url, trials=TRIALS, storage=storage)

    return make


@dataclass
class Team:
    """Workers of one benchmark; whoever is lost is replaced."""

    workers: Workers
    benchmark: Benchmark
    order: WorkOrder
    broken: str | None = None
    members: list[Worker] = field(default_factory=list)
    lost: int = 0
    """Those that were killed, or that the machine made so slow that their lease ran out."""
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1_000)))

    def start(self) -> Worker:
        named = replace(self.order, name=f"w{next(self._names)}")
        worker = self.workers.start(self.benchmark, work=named.to_dict(), broken=self.broken)
        self.members.append(worker)
        return worker

    def kill(self, worker: Worker) -> bool:
        """Kill one, and say whether it was still at work."""
        with suppress(ProcessLookupError):
            worker.kill()
        self.members.remove(worker)
        killed = worker.wait() == -9
        self.lost += killed
        return killed

    def finish(self) -> None:
        """Replace who loses its lease, until all have ended by themselves; then have the result made."""
        while self.members:
            worker = self.members.pop(0)
            code = worker.wait(120)
            if code == 4 and "was taken over" in worker.said:
                self.lost += 1
                self.start()
            else:
                assert code == 0, worker.said
        result = self.workers.start(self.benchmark)
        assert result.wait() == 0, result.said


@pytest.fixture
def team(workers: Workers) -> Callable[..., Team]:
    def gather(benchmark: Benchmark, broken: str | None = None, size: int = TEAM) -> Team:
        loaded = load_specs(benchmark.spec, None, (), None, (), None)
        run_id = survey(compose(loaded), loaded.place).run_id
        order = WorkOrder.of(benchmark.spec, TEAM).planned(run_id, Plugins())
        team = Team(workers, benchmark, order, broken)
        for _ in range(size):
            team.start()
        return team

    return gather


def asked_too_often(server: ScriptedServer, team: Team) -> list[str]:
    most = TRIALS + EACH * team.lost
    return [] if server.count <= most else [f"{server.count} requests, and {most} at the most are explained"]


def test_workers_that_are_killed_and_replaced_lose_and_repeat_nothing(
    made: Callable[[], Benchmark],
    team: Callable[..., Team],
    server: ScriptedServer,
    quiet: Callable[[int], str],
    count: Count,
    figures: Figures,
) -> None:
    expected, wanted, kills, repeated, draw = quiet(TRIALS), count(50, 3), 0, 0, random.Random(13)
    while kills < wanted:
        benchmark = made()
        at_work = team(benchmark)
        wait_until(benchmark.acknowledged)
        for _ in range(min(5, wanted - kills)):
            time.sleep(draw.uniform(0, 0.3))
            kills += at_work.kill(draw.choice(at_work.members))
            at_work.start()
        at_work.finish()
        assert ended_well(benchmark, server, expected) == []
        assert asked_too_often(server, at_work) == []
        repeated += server.count - TRIALS
    figures(kills=kills, repeated=repeated, lost=0, doubled=0)


def test_what_a_dead_worker_had_others_do_within_its_lease(
    made: Callable[[], Benchmark],
    team: Callable[..., Team],
    server: ScriptedServer,
    quiet: Callable[[int], str],
    figures: Figures,
) -> None:
    expected, benchmark = quiet(TRIALS), made()
    at_work = team(benchmark, size=2)
    wait_until(lambda: len(benchmark.acknowledged()) >= TRIALS // 2)
    killed = time.monotonic()
    assert at_work.kill(at_work.members[0])
    at_work.finish()
    took = time.monotonic() - killed
    assert took < LEASE_S + 20, "the rest of the work alone takes 3 s on a quiet machine"
    assert ended_well(benchmark, server, expected) == []
    assert asked_too_often(server, at_work) == []
    with opened(benchmark) as store:
        parts = store.parts(at_work.order.run_id)
    assert (parts.finished, parts.leased) == (parts.of, 0)
    figures(taken_over_and_done_in_s=round(took, 1))


def test_drivers_that_are_killed_lose_and_repeat_nothing(
    made: Callable[[], Benchmark],
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    count: Count,
    figures: Figures,
) -> None:
    expected, wanted, kills, draw = quiet(TRIALS), count(10, 1), 0, random.Random(14)
    arguments = ("--workers", str(TEAM), "--quiet", "--format", "json")
    while kills < wanted:
        benchmark = made()
        driver = workers.start(benchmark, arguments=arguments)
        wait_until(lambda made=benchmark, first=driver: made.acknowledged() or first.ended)
        time.sleep(draw.uniform(0, 0.5))
        driver.kill()
        killed = driver.wait() == -9
        kills += killed
        until = time.monotonic() + 60  # its lock lasts until its lease is over, and its workers end in good order
        while (code := workers.run(benchmark, arguments=arguments)) == 4 and time.monotonic() < until:
            time.sleep(0.2)
        assert code == 0
        assert ended_well(benchmark, server, expected) == []
        assert server.count <= TRIALS + IN_FLIGHT * killed
    figures(kills=kills, lost=0, doubled=0)


def test_workers_that_take_what_others_have_are_caught(
    made: Callable[[], Benchmark], team: Callable[..., Team], server: ScriptedServer
) -> None:
    benchmark = made()
    at_work = team(benchmark, broken="leases what others have")
    wait_until(lambda: asked_too_often(server, at_work))
