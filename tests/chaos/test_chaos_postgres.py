"""A Postgres server that restarts, ends connections, stands still; and the same results as on SQLite."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import ended_well, now
from lab.workers import Worker, Workers, wait_until

from themis_core.testing.postgres import PostgresServer
from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        yield started


@pytest.fixture
def made(postgres: PostgresServer, server: ScriptedServer, tmp_path: Path) -> Callable[[], Benchmark]:
    """Makes a benchmark in a database of its own, the model server's ledger empty."""
    made = iter(range(1_000))

    def make() -> Benchmark:
        server.reset({"latency_s": 0.02})
        storage = {
            "backend": "postgres",
            "url": postgres.new_database(),
            "inline_limit_bytes": 1024,
            "blobs": "store/blobs",
            "lease_s": 1,
        }
        return make_benchmark(tmp_path / str(next(made)), server.base_url, trials=TRIALS, storage=storage)

    return make


def some_saved(benchmark: Benchmark, worker: Worker, count: int = 20) -> None:
    wait_until(lambda: len(benchmark.acknowledged()) >= count or worker.said.count("Error"))


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_server_that_restarts_loses_nothing(
    postgres: PostgresServer,
    made: Callable[[], Benchmark],
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    count: Count,
    figures: Figures,
    how: str,
) -> None:
    expected, times = quiet(TRIALS), count(5, 1)
    for _ in range(times):
        benchmark = made()
        worker = workers.start(benchmark)
        some_saved(benchmark, worker)
        postgres.restart(how, down_s=0.5)  # type: ignore[arg-type]
        assert worker.wait() == 0, worker.said
        assert ended_well(benchmark, server, expected) == []
        assert server.count == TRIALS
    figures(restarts=times, lost=0, doubled=0)


def test_connections_that_are_ended_lose_nothing(
    postgres: PostgresServer,
    made: Callable[[], Benchmark],
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    count: Count,
    figures: Figures,
) -> None:
    expected, wanted, ended, draw = quiet(TRIALS), count(50, 3), 0, random.Random(11)
    while ended < wanted:
        benchmark = made()
        worker = workers.start(benchmark)
        some_saved(benchmark, worker, 1)
        for _ in range(5):
            time.sleep(draw.uniform(0, 0.05))
            ended += postgres.terminate_backends() > 0
        assert worker.wait() == 0, worker.said
        assert ended_well(benchmark, server, expected) == []
        assert server.count == TRIALS
    figures(times=ended, lost=0, doubled=0)


def test_a_server_that_stands_still_loses_nothing(
    postgres: PostgresServer,
    made: Callable[[], Benchmark],
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    count: Count,
    figures: Figures,
) -> None:
    expected, times, seconds = quiet(TRIALS), count(5, 1), count(10, 2)
    for _ in range(times):
        benchmark = made()
        worker = workers.start(benchmark)
        some_saved(benchmark, worker)
        with postgres.stalled():
            time.sleep(seconds)
        # Longer than its lease: it may go on, or leave with what it saved; either way nothing is lost or torn.
        assert worker.wait() in (0, 4), worker.said
        assert now(benchmark, benchmark.acknowledged()) == []
        assert worker.wait() == 0 or resumed(workers, benchmark) == 0
        assert ended_well(benchmark, server, expected) == []
    figures(times=times, seconds=seconds, lost=0)


def resumed(workers: Workers, benchmark: Benchmark) -> int:
    """Start it again until the dead runner's lease is over."""
    until = time.monotonic() + 20
    while (code := workers.run(benchmark)) == 4 and time.monotonic() < until:
        time.sleep(0.1)
    return code


def test_kills_lose_and_repeat_nothing_on_postgres(
    made: Callable[[], Benchmark],
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    count: Count,
    figures: Figures,
) -> None:
    expected, wanted, kills, draw = quiet(TRIALS), count(20, 1), 0, random.Random(12)
    while kills < wanted:
        benchmark = made()
        worker = workers.start(benchmark)
        some_saved(benchmark, worker, 1)
        with suppress(TimeoutError):
            assert worker.wait(draw.uniform(0, 0.2)) == 0, worker.said
            continue
        worker.kill()
        kills += worker.wait() == -9
        assert now(benchmark, benchmark.acknowledged()) == []
        assert resumed(workers, benchmark) == 0
        assert ended_well(benchmark, server, expected) == []
    figures(kills=kills, lost=0, doubled=0)


def test_a_run_is_the_same_quietly_killed_ten_times_and_on_postgres(
    made: Callable[[], Benchmark],
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    figures: Figures,
) -> None:
    expected = quiet(TRIALS)
    server.reset({"latency_s": 0.05})
    killed = make_benchmark(tmp_path / "killed", server.base_url, trials=TRIALS)
    for number in range(1, 11):
        worker = workers.start(killed)
        wait_until(lambda wanted=number * 15: len(killed.acknowledged()) >= wanted)
        worker.kill()
        assert worker.wait() == -9
    assert workers.run(killed) == 0
    assert ended_well(killed, server, expected) == []

    on_postgres = made()
    assert workers.run(on_postgres) == 0
    assert ended_well(on_postgres, server, expected) == []
    figures(kills=10, digest=expected[:12])


def test_a_writer_that_ignores_what_postgres_says_is_caught(
    postgres: PostgresServer, made: Callable[[], Benchmark], workers: Workers
) -> None:
    benchmark = made()
    worker = workers.start(benchmark, broken="loses a batch")
    worker.wait()
    assert "lost" in {each.partition(":")[0] for each in now(benchmark, benchmark.acknowledged())}
