"""Stores that are killed while a newer version brings them up to date."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from lab import next_version
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import ended_well, now
from lab.workers import Fault, Workers, wait_until

from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200
PLACES = ("in the middle of a batch", "before the commit", "after the commit", "in a write", "before a sync")


def half_done(workers: Workers, server: ScriptedServer, folder: Path) -> Benchmark:
    """A store of this version, its run killed half-way."""
    benchmark = make_benchmark(folder, server.base_url, trials=TRIALS)
    worker = workers.start(benchmark)
    wait_until(lambda: len(benchmark.acknowledged()) >= TRIALS / 2)
    worker.kill()
    worker.wait()
    return benchmark


def kill_at(workers: Workers, benchmark: Benchmark, place: str, nth: int, broken: str | None = None) -> int:
    """Let the next version begin, and kill it at the place; return the exit code."""
    if place.startswith(("in a", "before a")):
        fault = Fault("w" if place == "in a write" else "s", "themis.sqlite3-wal", "tear", nth)
        return workers.run(benchmark, next_version=True, fault=fault)
    return workers.run(benchmark, next_version=True, failpoint=place, nth=nth, broken=broken)


def version(benchmark: Benchmark) -> int:
    with closing(sqlite3.connect(benchmark.folder / "store" / "themis.sqlite3")) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_kills_while_a_store_is_brought_up_to_date_leave_it_as_it_was_or_done(
    shimmed: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw, expected = random.Random(13), quiet(TRIALS)
    server.reset({"latency_s": 0.01})
    before = half_done(shimmed, server, tmp_path / "before")
    acknowledged, old, kills = before.acknowledged(), version(before), 0
    versions: set[int] = set()
    for number in range(count(30, 5)):
        shutil.copytree(before.folder, tmp_path / str(number))
        benchmark = before.at(tmp_path / str(number))
        place = PLACES[number % len(PLACES)]
        nth = 1 if "commit" in place else draw.randint(1, 6) if place != "before a sync" else 1
        kills += kill_at(shimmed, benchmark, place, nth) == -9
        reached = version(benchmark)
        versions.add(reached)
        with monkeypatch.context() as patched:
            if reached > old:
                next_version.plant(patched.setattr)
            assert now(benchmark, acknowledged) == [], place
    assert kills == count(30, 5)
    assert versions == {old, old + 1}, "kills on both sides of the commit"

    assert shimmed.run(benchmark, next_version=True) == 0
    next_version.plant(monkeypatch.setattr)
    assert ended_well(benchmark, server, expected) == []
    figures(kills=kills, lost=0)


def test_a_migration_in_two_transactions_is_caught(workers: Workers, server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"latency_s": 0.01})
    benchmark = half_done(workers, server, tmp_path / "run")
    assert kill_at(workers, benchmark, PLACES[0], 1, broken="migrates in two transactions") == -9
    assert "lost" in {each.partition(":")[0] for each in now(benchmark, benchmark.acknowledged())}
