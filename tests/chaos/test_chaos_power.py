"""Power cuts: of everything that was written, only what was synced is there afterwards, or that and a random rest."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import ended_well, now
from lab.powercut import SYNCED, WRITTEN, Operation, after_power_cut, read_trace
from lab.workers import Workers

from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
TRIALS = 200


def recorded(
    workers: Workers, server: ScriptedServer, folder: Path, **changes: Any
) -> tuple[Benchmark, list[Operation]]:
    """Run a benchmark, killed once on the way, and return what its disk got to see of both executions."""
    storage = changes.pop("storage", {})
    benchmark = make_benchmark(folder / "run", server.base_url, trials=TRIALS, storage=storage)
    if not changes.pop("new_folder", False):
        (benchmark.folder / "store").mkdir()
    trace = folder / "trace"
    worker = workers.start(benchmark, trace=trace, checkpoint_pages=60, **changes)
    with pytest.raises(TimeoutError):
        worker.wait(0.35)
    worker.kill()
    worker.wait()
    # A control that loses trials counts them as lost in the end.
    assert workers.run(benchmark, trace=trace, checkpoint_pages=60, **changes) in (
        (0, 5) if "broken" in changes else (0,)
    )
    return benchmark, list(read_trace(trace))


def cut_off(
    benchmark: Benchmark, operations: list[Operation], target: Path, keep: float, draw: random.Random
) -> Benchmark:
    """The benchmark's folder after a power cut at the end of these operations, with all that was acknowledged."""
    shutil.rmtree(target, ignore_errors=True)
    after_power_cut(operations, benchmark.folder, target, keep=keep, draw=draw)
    lines = [each.data for each in operations if each.kind == WRITTEN and each.path == benchmark.acknowledgements]
    # What an observer was told, it knows, whether or not its own file was synced.
    (target / benchmark.acknowledgements.name).write_bytes(b"".join(lines))
    for name in ("chaos.json", "items.jsonl", "acknowledge.py"):
        shutil.copy(benchmark.folder / name, target / name)
    return benchmark.at(target)


def lost_in(
    benchmark: Benchmark, operations: list[Operation], folder: Path, cuts: int, draw: random.Random
) -> tuple[int, int, list[str]]:
    """Cut the power so often, once in each equal part of the run; return the acknowledgements checked, the most in one
    cut, and the broken promises."""
    found: list[str] = []
    checked = most = 0
    for number in range(cuts):
        keep = 0.0 if number % 2 == 0 else draw.random()
        first, last = (len(operations) * each // cuts for each in (number, number + 1))
        after = cut_off(benchmark, operations[: draw.randint(first + 1, last)], folder / "cut", keep, draw)
        acknowledged = after.acknowledged()
        checked, most = checked + len(acknowledged), max(most, len(acknowledged))
        found += now(after, acknowledged, mode="write")
    return checked, most, found


@pytest.mark.parametrize("new_folder", [False, True], ids=["in a folder that was there", "in a new folder"])
def test_power_cuts_lose_nothing_that_was_acknowledged(
    shimmed: Workers,
    workers: Workers,
    server: ScriptedServer,
    quiet: Callable[[int], str],
    tmp_path: Path,
    count: Count,
    figures: Figures,
    new_folder: bool,
) -> None:
    draw, expected = random.Random(4), quiet(TRIALS)
    server.reset({"latency_s": 0.02})
    benchmark, operations = recorded(shimmed, server, tmp_path, new_folder=new_folder)
    cuts = count(50, 6)
    checked, most, found = lost_in(benchmark, operations, tmp_path, cuts, draw)
    assert found == []
    assert most > TRIALS / 2, "the cuts came too early to tell anything"

    for keep in (0.0, 0.5):  # and the run can go on from there
        after = cut_off(benchmark, operations[: len(operations) // 2], tmp_path / "cut", keep, draw)
        server.reset({})
        assert workers.run(after) == 0
        assert ended_well(after, server, expected) == []
    syncs = sum(each.kind == SYNCED for each in operations)
    figures(cuts=cuts, operations=len(operations), syncs=syncs, acknowledgements_checked=checked, lost=0)


@pytest.mark.parametrize(
    ("changes", "caught"),
    [
        ({"storage": {"synchronous": "NORMAL"}}, "lost"),
        ({"broken": "blobs are not synced"}, "unreadable"),
        ({"broken": "acknowledges before the commit"}, "lost"),
    ],
    ids=["synchronous NORMAL", "blobs not synced", "acknowledges before the commit"],
)
def test_power_cuts_show_what_is_not_synced(
    shimmed: Workers, server: ScriptedServer, tmp_path: Path, figures: Figures, changes: dict[str, Any], caught: str
) -> None:
    server.reset({"latency_s": 0.02})
    benchmark, operations = recorded(shimmed, server, tmp_path, **changes)
    checked, _, found = lost_in(benchmark, operations, tmp_path, 12, random.Random(5))
    kinds = [each.partition(":")[0] for each in found]
    assert caught in kinds
    figures(cuts=12, acknowledgements_checked=checked, lost=kinds.count("lost"), unreadable=kinds.count("unreadable"))
