"""Disks that are full, that fail, that are locked by a stranger: nothing is acknowledged that is not there."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import ended_well, now
from lab.powercut import FAILED, WRITTEN, after_power_cut, read_trace
from lab.workers import Fault, Workers, wait_until

from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200
GRACE_S = 0.1
"""What a request that was under way may take to arrive."""

FULL: dict[str, dict[str, Any]] = {
    "files can't grow": {"file_limit": 300_000},
    "no space for the log": {"fault": Fault("w", "themis.sqlite3-wal", "no space", nth=40, times=-1)},
    "no space for blobs": {"fault": Fault("w", ".part", "no space", nth=20, times=-1)},
    "no space in a checkpoint": {
        "fault": Fault("w", "themis.sqlite3", "no space", nth=45, times=-1),
        "checkpoint_pages": 30,
    },
}
FAILING: dict[str, dict[str, Any]] = {
    "syncs of the log fail": {"fault": Fault("s", "themis.sqlite3-wal", "io error", nth=8, times=-1)},
    "one sync of the log fails": {"fault": Fault("s", "themis.sqlite3-wal", "io error", nth=8)},
    "syncs of blobs fail": {"fault": Fault("s", ".part", "io error", nth=20, times=-1)},
    "writes to the log fail": {"fault": Fault("w", "themis.sqlite3-wal", "io error", nth=40, times=-1)},
    "syncs of a checkpoint fail": {
        "fault": Fault("s", "themis.sqlite3", "io error", nth=4, times=-1),
        "checkpoint_pages": 30,
    },
}


def calls_after_the_failure(benchmark: Benchmark, server: ScriptedServer) -> int:
    failed = benchmark.failed_at()
    return 0 if failed is None else sum(each.started > failed + GRACE_S for each in server.requests())


WAITING = "no space for the log, calls wait for their turn"
SURVIVED = {"one sync of the log fails", "no space in a checkpoint", "syncs of a checkpoint fail"}
"""What stops no run: a repeated commit settles it, or the log goes on growing and holds all that was saved."""


@pytest.mark.parametrize("case", [*FULL, WAITING, *FAILING])
def test_a_store_that_cannot_save_stops_the_run_and_loses_nothing(
    shimmed: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
    case: str,
) -> None:
    expected = quiet(TRIALS)
    times = count(5, 1)
    stopped = 0
    for number in range(times):
        server.reset({"latency_s": 0.005})
        policy = {"requests_per_minute": 30_000} if case == WAITING else {}
        benchmark = make_benchmark(tmp_path / str(number), server.base_url, trials=TRIALS, policy=policy)
        worker = shimmed.start(benchmark, **{**FULL, **FAILING}[case.partition(",")[0]])
        code = worker.wait()
        assert code in (0, 4), worker.said
        stopped += code == 4
        assert code == 0 or "Error: " in worker.said
        assert calls_after_the_failure(benchmark, server) == 0
        assert now(benchmark, benchmark.acknowledged()) == []
        assert shimmed.run(benchmark) == 0, "with room again, the run goes on"
        assert ended_well(benchmark, server, expected) == []
    assert stopped == (0 if case in SURVIVED else times)
    figures(times=times, stopped=stopped, lost=0, calls_after=0)


def test_a_full_file_system_stops_the_run_and_loses_nothing(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
    small_file_system: Path,
) -> None:
    times, expected = count(8, 1), quiet(TRIALS)
    for number in range(times):
        server.reset({"latency_s": 0.005})
        root = small_file_system / str(number)
        benchmark = make_benchmark(
            tmp_path / str(number), server.base_url, trials=TRIALS, storage={"root_dir": str(root)}
        )
        ballast = small_file_system / "ballast"
        ballast.write_bytes(bytes(max(0, shutil.disk_usage(small_file_system).free - 330_000 - 20_000 * number)))
        worker = workers.start(benchmark)
        assert worker.wait() == 4, worker.said
        assert "disk is full" in worker.said or "No space" in worker.said
        assert calls_after_the_failure(benchmark, server) == 0
        ballast.unlink()
        assert now(benchmark, benchmark.acknowledged()) == []
        assert workers.run(benchmark) == 0
        assert ended_well(benchmark, server, expected) == []
        shutil.rmtree(root)
    figures(times=times, lost=0, calls_after=0)


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, for those who may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT RUN: a small file system of its own needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("syncs", [1, 2, -1], ids=["one", "two", "all from then on"])
def test_what_was_acknowledged_after_failed_syncs_survives_a_power_cut(
    shimmed: Workers, server: ScriptedServer, tmp_path: Path, count: Count, figures: Figures, syncs: int
) -> None:
    """After a failed sync the system forgets what it should have written, and later syncs do not bring it back."""
    draw, times, checked = random.Random(6), count(7, 2), 0
    for number in range(times):
        server.reset({"latency_s": 0.005})
        benchmark = make_benchmark(tmp_path / str(number), server.base_url, trials=TRIALS)
        (benchmark.folder / "store").mkdir()
        fault = Fault("s", "themis.sqlite3-wal", "io error", nth=draw.randint(3, 12), times=syncs)
        trace = tmp_path / f"trace-{number}"
        assert shimmed.run(benchmark, fault=fault, trace=trace) in (0, 4)
        operations = list(read_trace(trace))
        failed = next(index for index, each in enumerate(operations) if each.kind == FAILED)
        for _ in range(4):
            kept = operations[: draw.randint(failed, len(operations))]
            target = tmp_path / "cut"
            shutil.rmtree(target, ignore_errors=True)
            after_power_cut(kept, benchmark.folder, target, draw=draw)
            lines = [each.data for each in kept if each.kind == WRITTEN and each.path == benchmark.acknowledgements]
            (target / benchmark.acknowledgements.name).write_bytes(b"".join(lines))
            shutil.copy(benchmark.spec, target)
            after = benchmark.at(target)
            checked += len(after.acknowledged())
            assert now(after, after.acknowledged(), mode="write") == []
    figures(failed_syncs=times, cuts=4 * times, acknowledgements_checked=checked, lost=0)


def test_a_store_that_a_stranger_locks_loses_nothing(
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
) -> None:
    expected, times, seconds = quiet(TRIALS), count(5, 1), count(20, 3)
    for number in range(times):
        server.reset({"latency_s": 0.01})
        benchmark = make_benchmark(tmp_path / str(number), server.base_url, trials=TRIALS)
        worker = workers.start(benchmark)
        hold(benchmark, seconds)
        assert worker.wait() == 0, worker.said
        assert ended_well(benchmark, server, expected) == []
        assert server.count == TRIALS
    figures(times=times, seconds=seconds, lost=0, doubled=0)


def hold(benchmark: Benchmark, seconds: float) -> None:
    """Lock the store for writing, once a few trials are in it."""
    wait_until(lambda: len(benchmark.acknowledged()) > 20)
    with closing(sqlite3.connect(benchmark.folder / "store" / "themis.sqlite3", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        stranger.execute("ROLLBACK")


@pytest.mark.parametrize("case", ["no space for the log", "syncs of blobs fail"])
def test_a_runner_that_ignores_what_the_store_says_is_caught(
    shimmed: Workers, server: ScriptedServer, tmp_path: Path, case: str
) -> None:
    benchmark = make_benchmark(tmp_path / "run", server.base_url, trials=TRIALS)
    shimmed.run(benchmark, broken="ignores errors of the store", **{**FULL, **FAILING}[case])
    assert "lost" in {each.partition(":")[0] for each in now(benchmark, benchmark.acknowledged())}
    assert calls_after_the_failure(benchmark, server) > 0


def test_a_runner_that_does_not_wait_for_a_locked_store_is_caught(
    workers: Workers, server: ScriptedServer, tmp_path: Path
) -> None:
    benchmark = make_benchmark(tmp_path / "run", server.base_url, trials=TRIALS, storage={"busy_timeout_s": 0.05})
    worker = workers.start(benchmark, broken="ignores errors of the store")
    hold(benchmark, 0.5)
    worker.wait()
    assert "lost" in {each.partition(":")[0] for each in now(benchmark, benchmark.acknowledged())}
