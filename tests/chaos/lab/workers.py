"""Processes that run `themis`, started in milliseconds: copies of one process that has imported everything.

    with Workers() as workers:
        worker = workers.start(benchmark, failpoint="before the commit", nth=3)
        worker.wait()

The other side is `lab.worker`, which this starts as a program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.benchmark import Benchmark

__all__ = ["Fault", "Worker", "Workers", "wait_until"]

CHAOS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Fault:
    """What the shim does to a call: see `shim.c`."""

    what: str
    """`w` a write, `s` a sync."""
    suffix: str
    """What the file's path ends in."""
    action: str
    """`kill`, `tear` (half a write, then killed), `io error` or `no space`."""
    nth: int = 1
    times: int = 1
    """-1 for ever."""


@dataclass(slots=True)
class Worker:
    """One process that runs the benchmark. Its standard error is in `errors`."""

    pid: int
    _workers: Workers
    errors: Path
    output: Path
    _code: int | None = None

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 60) -> int:
        """Return the exit code, negative if a signal ended it; raises TimeoutError."""
        if self._code is None:
            code = self._workers.ask({"wait": self.pid, "timeout": timeout})["code"]
            if code is None:
                raise TimeoutError(f"process {self.pid} has not ended after {timeout:g} s: {self.said}")
            self._code = int(code)
        return self._code

    @property
    def ended(self) -> bool:
        with suppress(TimeoutError):
            self.wait(0)
        return self._code is not None

    @property
    def said(self) -> str:
        """What it wrote to standard error so far."""
        return self.errors.read_text(encoding="utf-8", errors="replace") if self.errors.exists() else ""


@dataclass(slots=True)
class Workers:
    """Starts workers; `shim` is a library to preload into them."""

    shim: Path | None = None
    _process: subprocess.Popen[str] | None = None
    _started: list[Worker] = field(default_factory=list, repr=False)
    _count: int = 0

    def __enter__(self) -> Workers:
        # Copies of a measured process would be slowed down by the measuring, and most of them are killed.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment["PYTHONPATH"] = os.pathsep.join([str(CHAOS), *filter(None, [os.environ.get("PYTHONPATH")])])
        if self.shim:
            environment["LD_PRELOAD"] = str(self.shim)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.communicate(timeout=30)  # the end of its input is its signal to end, with all its workers

    def start(
        self,
        benchmark: Benchmark,
        *,
        failpoint: str | None = None,
        nth: int = 1,
        broken: str | None = None,
        fault: Fault | None = None,
        trace: Path | None = None,
        file_limit: int | None = None,
        checkpoint_pages: int | None = None,
        next_version: bool = False,
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = ("--quiet", "--format", "json"),
        work: Mapping[str, Any] | None = None,
    ) -> Worker:
        """Start `themis run` on the benchmark, or one of its workers by the order `work`.

        `failpoint` kills it at the n-th time it gets there; `broken` replaces a part by one that breaks a promise;
        `trace` is where the shim writes what happens in the folder; `file_limit` is the most bytes a file may have;
        `checkpoint_pages` brings SQLite's checkpoints into a run that is too short for them;
        with `next_version` it is a Themis whose schema is one version on.
        """
        self._count += 1
        number = self._count
        output, errors = (benchmark.folder / f"{name}-{os.getpid()}-{number}.txt" for name in ("output", "errors"))
        order: dict[str, Any] = {
            "run": ["run", str(benchmark.spec), *arguments],
            "work": work,
            "folder": str(benchmark.folder),
            "environment": {"CHAOS_ACKNOWLEDGED": str(benchmark.acknowledgements), **(environment or {})},
            "output": str(output),
            "errors": str(errors),
            "failures": str(benchmark.failures),
            "failpoint": failpoint,
            "nth": nth,
            "broken": broken,
            "fault": None if fault is None else [fault.what, fault.suffix, fault.nth, fault.action, fault.times],
            "trace": str(trace) if trace else None,
            "file_limit": file_limit,
            "checkpoint_pages": checkpoint_pages,
            "next_version": next_version,
            "shim": str(self.shim) if self.shim else None,
        }
        worker = Worker(int(self.ask(order)["pid"]), self, errors, output)
        self._started.append(worker)
        return worker

    def run(self, benchmark: Benchmark, **options: Any) -> int:
        """Start a worker, wait for its end, and return its exit code."""
        return self.start(benchmark, **options).wait()

    def end_all(self) -> None:
        """Kill what still runs, so that a failed test disturbs no other."""
        for worker in self._started:
            if worker._code is None:
                with suppress(ProcessLookupError):
                    worker.kill()
                worker.wait()
        self._started.clear()

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that starts the workers has ended; its own words are on standard error")
        answer: dict[str, Any] = json.loads(line)
        return answer


def wait_until(condition: Any, *, timeout: float = 60, pause: float = 0.005) -> None:
    """Return as soon as the condition holds; raises TimeoutError."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("what was waited for has not come to pass")
        time.sleep(pause)
