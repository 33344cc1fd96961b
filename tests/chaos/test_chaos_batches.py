"""A batch whose run is killed again and again, between its intent and its last answer: it is paid for once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import digest_of, opened
from lab.invariants import problems
from lab.workers import Workers

from themis_core.testing.postgres import PostgresServer
from themis_core.testing.server import ScriptedServer

Count = Callable[[int, int], int]
Figures = Callable[..., None]
HELD = 4
"""Exit of a run that a killed process still holds: its lease on Postgres takes a second to end."""

KILLS = [
    ("before a batch is intended", 1, True),
    ("after it is intended, before it is submitted", 1, True),
    ("before its end is noted", 1, False),  # of the intent that was never submitted
    ("after its end is noted", 1, False),
    ("after its file is uploaded", 1, True),
    ("while it is made", 1, True),
    ("after it is found", 1, True),
    ("before its ticket is noted", 1, True),
    ("after its ticket is noted", 1, True),
    ("before a look", 1, True),
    ("after a look", 1, False),
    ("before answers are stored", 1, False),
    ("while a blob is written", 3, True),
    ("after answers are stored", 1, True),
    ("before answers are stored", 2, True),
    ("after answers are stored", 2, False),
    ("after answers are stored", 1, False),
    ("after all answers are stored", 1, True),
    ("after its end is noted", 1, True),
    ("after the commit, before acknowledging", 40, True),
]
"""Where the run is killed, one execution after another: the instant, how often it is passed, and whether the short form
of the test has it."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> Mapping[str, Any] | None:
    if request.param == "sqlite":
        return None
    url = request.getfixturevalue("postgres").new_database()
    place = {"url": url, "inline_limit_bytes": 1024, "blobs": "store/blobs"}
    return {"backend": "postgres", **place, "lease_s": 1}


def made(
    folder: Path,
    server: ScriptedServer,
    trials: int,
    storage: Mapping[str, Any] | None = None,
    provider: str = "openai/chat",
) -> Benchmark:
    policy = {"batches": {"grace_s": 0.2, "poll_s": 0.05}}
    address = server.origin + PATHS[provider]
    return make_benchmark(
        folder, address, trials=trials, storage=storage, policy=policy, provider=provider, params={"max_tokens": 1_000}
    )


PATHS = {"openai/chat": "/v1", "anthropic/messages": "", "google/gemini": "/v1beta"}
"""What an engine's `base_url` has behind the origin."""


def run_to(workers: Workers, benchmark: Benchmark, **options: Any) -> int:
    """Start it as often as it is held by a process that was killed; return the exit code."""
    while True:
        worker = workers.start(benchmark, **options)
        code = worker.wait(timeout=300)
        if code != HELD or "being worked on" not in worker.said:
            assert code in (0, -9), worker.said
            return code
        time.sleep(0.2)


def test_a_batch_is_paid_for_once_and_loses_no_answer_wherever_its_run_is_killed(
    workers: Workers,
    server: ScriptedServer,
    tmp_path: Path,
    storage: Mapping[str, Any] | None,
    count: Count,
    figures: Figures,
) -> None:
    trials = count(5_000, 1_200)
    server.reset({})
    quiet = made(tmp_path / "quiet", server, trials)
    assert run_to(workers, quiet) == 0
    with opened(quiet) as store:
        expected = digest_of(store)

    kills = [(place, nth) for place, nth, in_short in KILLS if in_short or count(1, 0)]
    benchmark = made(tmp_path / "killed", server, trials, storage)
    killed_again_and_again(workers, benchmark, server, kills, trials, expected)
    figures(kills=len(kills), requests=trials, batches=1, lost=0, doubled=0)


@pytest.mark.parametrize("provider", ["anthropic/messages", "google/gemini"])
def test_it_is_so_on_wires_that_tell_less_of_a_batch(
    workers: Workers, server: ScriptedServer, tmp_path: Path, provider: str, count: Count, figures: Figures
) -> None:
    trials = count(5_000, 1_200)
    server.reset({})
    quiet = made(tmp_path / "quiet", server, trials, provider=provider)
    assert run_to(workers, quiet) == 0
    with opened(quiet) as store:
        expected = digest_of(store)
    kills = [(place, nth) for place, nth, in_short in KILLS if in_short and place not in OF_FILES]
    benchmark = made(tmp_path / "killed", server, trials, provider=provider)
    killed_again_and_again(workers, benchmark, server, kills, trials, expected)
    figures(kills=len(kills), requests=trials, batches=1, lost=0, doubled=0)


OF_FILES = ("after its file is uploaded",)
"""Instants that only OpenAI's wire has."""


def killed_again_and_again(
    workers: Workers,
    benchmark: Benchmark,
    server: ScriptedServer,
    kills: Sequence[tuple[str, int]],
    trials: int,
    expected: object,
) -> None:
    """Kill a benchmark's run at each of these instants, let it end, and hold it to one batch and all its answers."""
    server.reset({"latency_s": 0.06})
    for place, nth in kills:
        assert run_to(workers, benchmark, failpoint=place, nth=nth) == -9, f"no kill {place} ({nth})"
    assert run_to(workers, benchmark) == 0

    assert [len(each["custom_ids"]) for each in server.batches()] == [trials]
    assert [each.path for each in server.requests() if each.path.endswith(ONE_BY_ONE)] == []
    with opened(benchmark) as store:
        assert list(store.open_batches()) == []
        assert problems(benchmark, store, acknowledged=benchmark.acknowledged(), complete=True) == []
        assert digest_of(store) == expected


ONE_BY_ONE = ("completions", "/messages", ":generateContent")
