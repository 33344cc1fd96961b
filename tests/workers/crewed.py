"""A benchmark that workers make, with an engine that works as a local model does: it is started once, holds memory, and
burns its core. It writes down each start and each call, so that what was asked twice is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from themis_core import ProjectSpec, Store
from themis_core.plugins import open_storage
from themis_core.reading import Place
from themis_core.testing.postgres import PostgresServer, server_for_tests
from themis_plugin_interop.canonical import canonical_digest

__all__ = ["Crewed", "Driver", "Quiet", "make", "undisturbed", "wait_until"]

ENGINE = '''
"""An engine that holds a device, and a metric that says where it was called."""

import asyncio
import hashlib
import json
import os
import time
from pathlib import Path

from themis_core import Engine, Generation, Metric, Needs, Score, hookimpl

HERE = Path(__file__).parent


def note(file, *what):
    line = json.dumps([os.getpid(), os.getppid(), time.time(), *what]) + "\\n"
    descriptor = os.open(HERE / file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)


async def together():
    """Wait until so many workers have started their engines: a fast one would leave nothing to a slow one."""
    until, told = time.monotonic() + 120, HERE / "together"
    many = int(told.read_text()) if told.exists() else 0
    while many and time.monotonic() < until:
        if len((HERE / "starts").read_text().splitlines()) >= many:
            return
        await asyncio.sleep(0.05)


class Device(Engine):
    megabytes: int = 8
    seconds: float = 0.02
    burn_s: float = 0.001
    gpus: float = 0
    cpus: float = 0
    memory_bytes: int = 0
    fails: str = ""
    dies: bool = False
    raises: bool = False
    not_identity = frozenset(
        {"megabytes", "seconds", "burn_s", "gpus", "cpus", "memory_bytes", "fails", "dies", "raises"}
    )

    at_once = 4

    @property
    def needs(self):
        return Needs(gpus=self.gpus, cpus=self.cpus, memory_bytes=self.memory_bytes)

    async def start(self):
        note("starts", os.environ.get("CUDA_VISIBLE_DEVICES"))
        if self.fails and not (HERE / "mended").exists():
            raise RuntimeError(self.fails)
        weights = bytearray(os.urandom(1_000_000) * self.megabytes)
        object.__setattr__(self, "_weights", weights)

    async def generate(self, request):
        await together()
        note("calls", request.messages[-1]["content"])
        if self.dies:
            os._exit(7)
        if self.raises:
            raise ValueError("it fails")
        burnt = time.process_time() + self.burn_s
        while time.process_time() < burnt:
            hashlib.sha256(self._weights[:10_000]).digest()
        await asyncio.sleep(self.seconds)
        return Generation("answered", request.messages[-1]["content"])


class Where(Metric):
    at_once = 2

    async def score(self, item, generation, value):
        await together()
        note("scored", item.id)
        await asyncio.sleep(0.1)
        return Score(1.0)


@hookimpl
def themis_run_started(event):
    note("observed", "started", event.part)


@hookimpl
def themis_run_finished(event, summary):
    note("observed", "finished", event.part)


@hookimpl
def themis_register_engines(register):
    register("device", Device)


@hookimpl
def themis_register_metrics(register):
    register("where", Where)
'''
PATIENCE_S = 300.0
"""Seconds until a test gives up: many, for a busy machine is no fault."""


@dataclass(slots=True)
class Driver:
    """A command that drives workers, in a process of its own."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> tuple[int, str, str]:
        """Its exit code, and what it printed on both streams."""
        code = self.process.wait(timeout=PATIENCE_S)
        return code, self.out.read_text(), self.err.read_text()


@dataclass(slots=True)
class Crewed:
    """A folder with a spec in it, and what came of it."""

    folder: Path
    url: str
    trials: int
    _drivers: list[Driver] = field(default_factory=list)

    @property
    def spec(self) -> Path:
        return self.folder / "spec.json"

    def start(self, *options: str, command: Sequence[str] = ("run",), **variables: str) -> Driver:
        """Begin `themis run SPEC` with options."""
        # A check in the background ignores SIGINT, and so would the command.
        listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        themis = [sys.executable, "-c", f"{listening}from themis_core.cli import main; main()"]
        line = [*themis, *command, str(self.spec), *options]
        environment = {**os.environ, "THEMIS_POSTGRES_URL": self.url, **variables}
        out, err = (self.folder / f"{len(self._drivers)}.{name}" for name in ("out", "err"))
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                line,
                stdout=out_file,
                stderr=err_file,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self._drivers.append(Driver(process, out, err))
        return self._drivers[-1]

    def run(self, *options: str, **more: Any) -> tuple[int, str, str]:
        return self.start(*options, **more).wait()

    def noted(self, file: str) -> list[list[Any]]:
        """What the engine or the metric wrote down: pid, its parent's pid, time, and what."""
        path = self.folder / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def calls(self) -> int:
        return len(self.noted("calls"))

    @property
    def workers(self) -> list[int]:
        """Processes that started an engine, the latest last."""
        return [each[0] for each in self.noted("starts")]

    def store(self) -> closing[Store]:
        """To be read."""
        os.environ["THEMIS_POSTGRES_URL"] = self.url
        project = ProjectSpec.model_validate(json.loads(self.spec.read_text())["project"])
        _, storage = open_storage(project, self.folder, Place())
        return closing(storage.open(self.folder, mode="read"))

    def statuses(self) -> list[str]:
        """Of the workers of the store's one run, by when they began."""
        with self.store() as store:
            (run,) = store.runs()
            return [each.status for each in store.executions(run.run_id) if each.part is not None]

    def digest(self) -> str:
        """Of the canonical export of the store's one run."""
        with self.store() as store:
            (run,) = store.runs()
            assert run.trials == self.trials
            assert list(store.verify()) == []
            return canonical_digest(store, run.run_id)

    def end(self) -> None:
        """End what is still at work."""
        for each in self._drivers:
            if each.process.poll() is None:
                each.process.kill()
            each.process.wait()
        for pid in self.workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def make(
    folder: Path,
    url: str,
    *,
    trials: int = 60,
    metrics: Sequence[str] = ("text/exact_match",),
    storage: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    together: int = 0,
    **config: Any,
) -> Crewed:
    """Write the files of a benchmark of so many trials; `config` is the engine's, whose first call waits until
    `together` engines were started."""
    folder.mkdir(parents=True)
    (folder / "device.py").write_text(ENGINE)
    (folder / "together").write_text(str(together))
    golds = [number if number % 3 else 0 for number in range(trials)]
    rows = [{"id": f"i{number}", "q": f"q{number}", "gold": f"q{gold}"} for number, gold in enumerate(golds)]
    spec = {
        "project": {
            "plugins": {"mine": "./device.py"},
            "storage": storage or {"backend": "postgres", "blobs": "database", "lease_s": 2},
            "execution_policy": {"max_in_flight_work_items": 8, **(policy or {})},
        },
        "benchmark": {
            "benchmark_id": "crewed",
            "models": [{"model_id": "m", "provider": "mine/device", "extras": config}],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/inline", "fields": {"reference": "gold"}, "extras": {"rows": rows}},
                    "generation": {},
                    "scores": [{"name": "right", "metrics": list(metrics)}],
                }
            ],
        },
    }
    made = Crewed(folder, url, trials)
    made.spec.write_text(json.dumps(spec))
    return made


@dataclass(frozen=True)
class Quiet:
    """What one process makes of a benchmark that nobody disturbs: for all tests to compare with."""

    result: dict[str, Any]
    digest: str


def undisturbed(folder: Path, url: str, **same: Any) -> Quiet:
    """Run a benchmark in one process; those to compare with have the same trials and config, which exports hold."""
    alone = make(folder, url, **same)
    code, out, err = alone.run("--format", "json")
    assert code == 0, err
    return Quiet(json.loads(out), alone.digest())


def wait_until(happened: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with server_for_tests() as server:
        yield server


@pytest.fixture
def made(postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[..., Crewed]]:
    """Makes a benchmark in a folder and a database of its own; what it started is ended with the test."""
    all_made: list[Crewed] = []

    def makes(**more: Any) -> Crewed:
        all_made.append(make(tmp_path / str(len(all_made)), postgres.new_database(), **more))
        return all_made[-1]

    yield makes
    for each in all_made:
        each.end()
