"""Long texts in a bucket and in the database: kills around their writing, and a bucket that goes away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.benchmark import IN_FLIGHT, Benchmark, make_benchmark
from lab.checking import ended_well, now, opened
from lab.workers import Workers, wait_until

from themis_blobs.testing import S3Server
from themis_core.testing.postgres import PostgresServer
from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200
HELD = 4
KILLS = {
    "s3": [
        "while long texts are sent",
        "after long texts are sent, before their transaction",
        "in the transaction of long texts that were sent",
        "before the commit in Postgres",
        "after the commit in Postgres",
    ],
    "database": [
        "after long texts are in the database, before the commit",
        "before the commit in Postgres",
        "after the commit in Postgres",
    ],
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        yield started


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3") / "data", open_to_all=True) as started:
        yield started


def storage(kind: str, postgres: PostgresServer, s3: S3Server, **more: Any) -> dict[str, Any]:
    place: dict[str, Any] = {"blobs": "database"}
    if kind == "s3":
        options = {"endpoint_url": s3.url, "region": "us-east-1", "skip_signature": "true"}
        place = {"blobs": "s3://bucket/chaos", "blob_options": options, "blob_timeout_s": 5}
    return {
        "backend": "postgres",
        "url": postgres.new_database(),
        "inline_limit_bytes": 1024,
        "lease_s": 1,
        **place,
        **more,
    }


def run_to(workers: Workers, benchmark: Benchmark, **options: Any) -> int:
    """Start it as often as it is held by a process that was killed; return the exit code."""
    while True:
        worker = workers.start(benchmark, **options)
        code = worker.wait(timeout=120)
        if code != HELD or "being worked on" not in worker.said:
            assert code in (0, -9), worker.said
            return code
        time.sleep(0.1)


@pytest.mark.parametrize("kind", ["s3", "database"])
def test_kills_around_the_writing_of_long_texts_lose_and_repeat_nothing(
    postgres: PostgresServer,
    s3: S3Server,
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    kind: str,
    count: Count,
    figures: Figures,
) -> None:
    expected, kills = quiet(TRIALS), 0
    for number in range(count(10, 1)):
        server.reset({"latency_s": 0.01})
        benchmark = make_benchmark(
            tmp_path / str(number), server.base_url, trials=TRIALS, storage=storage(kind, postgres, s3)
        )
        for instant in KILLS[kind]:
            assert run_to(workers, benchmark, failpoint=instant, nth=2) == -9, f"no kill {instant}"
            kills += 1
            assert now(benchmark, benchmark.acknowledged()) == []
        assert run_to(workers, benchmark) == 0
        assert ended_well(benchmark, server, expected) == []
        assert server.count <= TRIALS + IN_FLIGHT * len(KILLS[kind])
        with opened(benchmark, "write") as store:
            list(store.remove_unused_files(older_than_s=0, dry_run=False))
            assert list(store.verify()) == []
    figures(kills=kills, lost=0, doubled=0)


def test_a_bucket_that_goes_away_for_a_moment_loses_nothing(
    postgres: PostgresServer,
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    expected, times = quiet(TRIALS), count(5, 1)
    for number in range(times):
        server.reset({"latency_s": 0.02})
        s3 = S3Server(tmp_path / f"s3-{number}" / "data", open_to_all=True)
        with s3:
            benchmark = make_benchmark(
                tmp_path / str(number), server.base_url, trials=TRIALS, storage=storage("s3", postgres, s3)
            )
            worker = workers.start(benchmark)
            wait_until(lambda: len(benchmark.acknowledged()) >= 20 or worker.ended)  # noqa: B023 - called at once
        time.sleep(0.5)
        with s3:
            assert worker.wait() == 0, worker.said
            assert ended_well(benchmark, server, expected) == []
            assert server.count == TRIALS
    figures(times=times, lost=0, doubled=0)


def test_a_bucket_that_stays_away_ends_the_run_and_starts_no_more_calls(
    postgres: PostgresServer,
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
) -> None:
    expected = quiet(TRIALS)
    server.reset({"latency_s": 0.02})
    s3 = S3Server(tmp_path / "s3" / "data", open_to_all=True)
    with s3:
        place = storage("s3", postgres, s3, reconnect_timeout_s=0.5)
        benchmark = make_benchmark(tmp_path / "run", server.base_url, trials=TRIALS, storage=place)
        worker = workers.start(benchmark)
        wait_until(lambda: len(benchmark.acknowledged()) >= 20 or worker.ended)
    assert worker.wait() == 4, worker.said
    # Whether a text is there already is asked before it is written; the bucket may go away before either.
    assert any(f"could not be {each}" in worker.said for each in ("asked", "written to"))
    assert "Traceback" not in worker.said
    asked = server.count
    assert workers.start(benchmark).wait() == 4  # told at once, before anything is asked
    assert server.count == asked
    with s3:
        assert now(benchmark, benchmark.acknowledged()) == []
        assert run_to(workers, benchmark) == 0
        assert ended_well(benchmark, server, expected) == []


def test_the_kills_would_tell_of_long_texts_that_were_not_sent(
    postgres: PostgresServer, s3: S3Server, workers: Workers, server: ScriptedServer, tmp_path: Path
) -> None:
    server.reset({"latency_s": 0.01})
    place = storage("s3", postgres, s3)
    benchmark = make_benchmark(tmp_path / "run", server.base_url, trials=TRIALS, storage=place)
    worker = workers.start(benchmark, broken="long texts are not sent")
    worker.wait()
    assert any("unreadable" in each and "is missing" in each for each in now(benchmark, benchmark.acknowledged()))
