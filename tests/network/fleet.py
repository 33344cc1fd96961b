"""Processes that ask one endpoint and share its limits."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat

PATIENCE_S = 240
GATHERING = '''
"""An engine whose first call waits for those of other processes, for they don't begin at one moment."""

import asyncio
import json
import os
import time
from pathlib import Path

from themis_core import hookimpl
from themis_plugin_openai.engines import OpenAIChat

THEMIS_CONTRACT_VERSION = 1
HERE = Path(__file__).parent


def note(what):
    """Add a line to a file, in one write."""
    line = json.dumps([os.getpid(), time.monotonic()]) + "\\n"
    descriptor = os.open(HERE / what, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)


class Gathering(OpenAIChat):
    async def start(self):
        await super().start()
        note("ready")
        until, many = time.monotonic() + 120, int((HERE / "gather").read_text())
        while time.monotonic() < until and (HERE / "ready").read_text().count("\\n") < many:
            await asyncio.sleep(0.02)
        note("begun")

    async def stop(self):
        note("ended")
        await super().stop()


@hookimpl
def themis_register_engines(register):
    register("chat", Gathering)
'''


class Fleet:
    """Runs of specs that differ in their prompts, each in a process of its own."""

    def __init__(self, folder: Path, server: ScriptedServer, storage: dict[str, Any]) -> None:
        self.folder = folder
        self.server = server
        self.storage = storage
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "gathering.py").write_text(GATHERING, encoding="utf-8")
        self.gather(0)

    def gather(self, processes: int) -> None:
        """Have so many processes begin their calls together; those that are at work by then don't count."""
        (self.folder / "gather").write_text(str(processes), encoding="utf-8")
        (self.folder / "ready").unlink(missing_ok=True)

    def start(self, policies: Sequence[dict[str, Any]], trials: int, price: dict[str, float] | None = None) -> None:
        """Begin a run with each policy."""
        self.write(policies, trials, price)
        for number in range(len(policies)):
            self.begin(number)

    def begin(self, number: int, *options: str) -> None:
        """Begin `themis run` of the spec that has this number."""
        out = (self.folder / f"out{len(self.processes)}").open("wb")
        command = [sys.executable, "-m", "themis_core", "run", f"spec{number}.json", *options]
        with out:
            process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.processes.append(process)

    def write(
        self,
        policies: Sequence[dict[str, Any]],
        trials: int,
        price: dict[str, float] | None = None,
        **params: Any,
    ) -> None:
        """Write a spec with each policy; `params` are those of all calls."""
        rows = [json.dumps({"id": f"i{number}", "q": f"question {number}"}) for number in range(trials)]
        (self.folder / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
        for number, policy in enumerate(policies):
            spec = self.folder / f"spec{number}.json"
            spec.write_text(json.dumps(self._spec(number, policy, price, params)), encoding="utf-8")

    def _spec(
        self, number: int, policy: dict[str, Any], price: dict[str, float] | None, params: dict[str, Any]
    ) -> dict[str, Any]:
        model = {
            "model_id": "m",
            "provider": "gathering/chat",
            "extras": {"base_url": self.server.base_url, "api_key_env": None, "identity_name": "here"},
            **({"price": price} if price else {}),
        }
        dataset = {"source": "files/jsonl", "dataset_id": "rows.jsonl", "fields": {"id": "id", "reference": "q"}}
        scores = [{"name": "said", "metrics": ["text/contains"]}]
        return {
            "project": {"plugins": {"gathering": "gathering.py"}, "execution_policy": policy, "storage": self.storage},
            "benchmark": {
                "benchmark_id": f"b{number}",
                "models": [model],
                "prompt_variants": [
                    {"id": "v", "messages": [{"role": "user", "content": f"{number}: {{{{ item.q }}}}"}]}
                ],
                "slices": [
                    {
                        "slice_id": "s",
                        "dataset": dataset,
                        "generation": {"inference_grid": {"params": [params]}},
                        "scores": scores,
                    }
                ],
            },
        }

    def run_here(self, policies: Sequence[dict[str, Any]], trials: int) -> list[themis.RunResult]:
        """The runs side by side in this process: as strange to each other, and all begin together."""
        self.write(policies, trials)
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
        """The exit codes of all."""
        return [each.wait(PATIENCE_S) for each in self.processes]

    def told(self, number: int) -> str:
        """What a process printed."""
        return (self.folder / f"out{number}").read_text("utf-8", "replace")

    def by_run(self) -> dict[str, list[float]]:
        """When the requests of each run began, by the run's number."""
        found: dict[str, list[float]] = {}
        for each in self.server.requests():
            found.setdefault(each.prompt.split(":")[0], []).append(each.started)
        return {number: sorted(begun) for number, begun in found.items()}

    def at_work(self) -> tuple[float, float]:
        """From when until when all processes could make calls, by `time.monotonic`."""
        begun, ended = (
            [json.loads(line)[1] for line in (self.folder / name).read_text().splitlines()]
            for name in ("begun", "ended")
        )
        return max(begun), min(ended)

    def wait_until_asked(self, runs: int) -> None:
        """Return once so many runs have made a request."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.by_run()) < runs:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def end(self) -> None:
        """Kill what is still at work."""
        for each in self.processes:
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
