"""Several processes ask one endpoint and share its limits through the store, as `share_limits` has it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.postgres import server_for_tests
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat

BURST = 10.0
PATIENCE_S = 240


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    with server_for_tests() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where the processes share: the same for all of them."""
    if request.param == "sqlite":
        return {"backend": "sqlite", "root_dir": "store"}
    url = request.getfixturevalue("postgres").new_database()
    return {"backend": "postgres", "url": url, "blobs": "blobs"}


class Fleet:
    """Runs of specs that differ in their prompts, each in a process of its own."""

    def __init__(self, folder: Path, server: ScriptedServer, storage: dict[str, Any]) -> None:
        self.folder = folder
        self.server = server
        self._storage = storage
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, policies: Sequence[dict[str, Any]], trials: int, price: dict[str, float] | None = None) -> None:
        self._write(policies, trials, price)
        for number in range(len(policies)):
            out = (self.folder / f"out{number}").open("wb")
            command = [sys.executable, "-m", "themis_core", "run", f"spec{number}.json"]
            with out:
                self.processes.append(subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out))

    def _write(self, policies: Sequence[dict[str, Any]], trials: int, price: dict[str, float] | None) -> None:
        rows = [json.dumps({"id": f"i{number}", "q": f"question {number}"}) for number in range(trials)]
        (self.folder / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
        for number, policy in enumerate(policies):
            spec = self.folder / f"spec{number}.json"
            spec.write_text(json.dumps(self._spec(number, policy, price)), encoding="utf-8")

    def _spec(self, number: int, policy: dict[str, Any], price: dict[str, float] | None) -> dict[str, Any]:
        model = {
            "model_id": "m",
            "provider": "openai/chat",
            "extras": {"base_url": self.server.base_url, "api_key_env": None, "identity_name": "here"},
            **({"price": price} if price else {}),
        }
        dataset = {"source": "files/jsonl", "dataset_id": "rows.jsonl", "fields": {"id": "id", "reference": "q"}}
        scores = [{"name": "said", "metrics": ["text/contains"]}]
        return {
            "project": {"execution_policy": policy, "storage": self._storage},
            "benchmark": {
                "benchmark_id": f"b{number}",
                "models": [model],
                "prompt_variants": [
                    {"id": "v", "messages": [{"role": "user", "content": f"{number}: {{{{ item.q }}}}"}]}
                ],
                "slices": [{"slice_id": "s", "dataset": dataset, "generation": {}, "scores": scores}],
            },
        }

    def run_here(self, policies: Sequence[dict[str, Any]], trials: int) -> list[themis.RunResult]:
        """The runs side by side in this process: as strange to each other, and all begin together."""
        self._write(policies, trials, None)
        start = OpenAIChat.start

        async def story() -> list[themis.RunResult]:
            barrier = asyncio.Barrier(len(policies))

            async def start_together(engine: OpenAIChat) -> None:
                await start(engine)
                await barrier.wait()

            specs = [self.folder / f"spec{number}.json" for number in range(len(policies))]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(OpenAIChat, "start", start_together)
                return await asyncio.gather(*(themis.run_async(spec) for spec in specs))

        return asyncio.run(story())

    def wait(self) -> list[int]:
        return [each.wait(PATIENCE_S) for each in self.processes]

    def told(self, number: int) -> str:
        return (self.folder / f"out{number}").read_text("utf-8", "replace")

    def by_run(self) -> dict[str, list[float]]:
        """When the requests of each run began, by the run's number."""
        found: dict[str, list[float]] = {}
        for each in self.server.requests():
            found.setdefault(each.prompt.split(":")[0], []).append(each.started)
        return {number: sorted(begun) for number, begun in found.items()}

    def wait_until_asked(self, runs: int) -> None:
        """Return once so many runs have made a request."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.by_run()) < runs:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def fleet(tmp_path: Path, server: ScriptedServer, storage: dict[str, Any]) -> Iterator[Fleet]:
    made = Fleet(tmp_path, server, storage)
    yield made
    for each in made.processes:
        if each.poll() is None:
            each.kill()
            each.wait()


def together(by_run: dict[str, list[float]]) -> tuple[float, int]:
    """For how long all runs were at work, in seconds, and how many requests began meanwhile."""
    since, until = max(each[0] for each in by_run.values()), min(each[-1] for each in by_run.values())
    begun = [at for each in by_run.values() for at in each if since <= at <= until]
    return until - since, len(begun)


def most_within(begun: list[float], seconds: float) -> int:
    """The most requests that began within any such time."""
    begun = sorted(begun)
    return max(bisect_left(begun, at + seconds) - number for number, at in enumerate(begun))


def test_processes_that_share_a_token_bucket_fail_no_trial_and_use_it(
    fleet: Fleet, full: bool, figures: dict[str, Any]
) -> None:
    rate, trials = (60.0, 500) if full else (40.0, 50)
    fleet.server.reset({"bucket": {"rate": rate, "capacity": BURST}, "latency_s": 0.02})
    if full:
        fleet.start([{"share_limits": True}] * 4, trials)
        assert fleet.wait() == [0, 0, 0, 0]
    else:
        results = fleet.run_here([{"share_limits": True}] * 4, trials)
        assert [result.status for result in results] == ["completed"] * 4
    requests = fleet.server.requests()
    accepted = [each.started for each in requests if each.status == 200]
    by_run = fleet.by_run().values()  # while all are at work: processes don't begin and end at one moment
    since, until = max(each[0] for each in by_run), min(each[-1] for each in by_run)
    used = sum(since <= at <= until for at in accepted) / (rate * max(until - since, 1e-9))
    figures |= {"trials": 4 * trials, "requests": len(requests), "share of the limit used": round(used, 3)}
    assert len(accepted) == 4 * trials
    assert len(requests) <= (1.15 if full else 1.5) * 4 * trials  # a short one is hardly more than its beginning
    # How much of the limit is used depends on the machine too, so the short form takes no measure of it.
    assert not full or used >= 0.8


def test_a_rate_is_kept_by_all_together_and_the_smaller_one_holds(
    fleet: Fleet, full: bool, figures: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    trials = 300 if full else 90
    policies = [{"share_limits": True, "requests_per_minute": per_minute} for per_minute in (1_200, 2_400)]
    fleet.server.reset({"latency_s": 0.02})
    results = fleet.run_here(policies, trials)
    assert [result.status for result in results] == ["completed"] * 2
    by_run = fleet.by_run()
    seconds, begun = together(by_run)
    figures |= {"together s": round(seconds, 1), "requests a second": round(begun / seconds, 2), "allowed": 20}
    assert begun <= 20 * seconds * 1.05 + 5
    assert not full or begun >= 20 * seconds * 0.8
    assert caplog.text.count("requests_per_minute: 1200 holds, the smallest limit of all processes") == 1


def test_runs_that_share_nothing_exceed_the_same_limit(
    tmp_path: Path, server: ScriptedServer, figures: dict[str, Any]
) -> None:
    server.reset({"latency_s": 0.02})
    fleet = Fleet(tmp_path, server, {"backend": "sqlite", "root_dir": "store"})
    fleet.run_here([{"requests_per_minute": 1_200}] * 3, 30)
    seconds, begun = together(fleet.by_run())
    figures |= {"requests a second": round(begun / seconds, 2), "allowed": 20}
    assert begun > 20 * seconds * 1.5


@pytest.mark.parametrize("fate", ["killed", "paused"])
def test_what_a_lost_process_had_is_for_the_others(
    fate: str, fleet: Fleet, full: bool, figures: dict[str, Any]
) -> None:
    if fate == "paused" and not full:
        pytest.skip("takes 20 s of standing still: in the full form")
    rate, trials = 30.0, (400 if full else 120)
    fleet.server.reset({"latency_s": 0.02})
    fleet.start([{"share_limits": True, "requests_per_minute": 60 * rate, "max_in_flight_work_items": 8}] * 4, trials)
    fleet.wait_until_asked(4)
    lost = fleet.processes[0]
    os.kill(lost.pid, signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
    lost_at = time.monotonic()
    if fate == "paused":
        time.sleep(20)
        os.kill(lost.pid, signal.SIGCONT)
    codes = fleet.wait()
    assert codes == [-signal.SIGKILL if fate == "killed" else 0, 0, 0, 0]
    by_run = fleet.by_run()
    begun = sorted(at for each in by_run.values() for at in each)
    # Ten seconds until it is given up, if it held what the others waited for.
    others = {number: each for number, each in by_run.items() if number != "0"}
    seconds, of_others = together(others)
    figures |= {"others a second": round(of_others / seconds, 2), "allowed": rate, "lost after s": lost_at - begun[0]}
    assert most_within(begun, 2.0) <= 2 * rate * 1.3 + 8
    assert not full or of_others >= rate * 0.8 * 3 / 4 * seconds
    assert Counter(len(each) for each in others.values()) == {trials: 3}
