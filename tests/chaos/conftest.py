"""Counts, fixtures and the table of figures of the chaos suite. What the tests work with is in the folder `lab`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

CHAOS = Path(__file__).parent
sys.path.insert(0, str(CHAOS))

from lab.benchmark import make_benchmark  # noqa: E402
from lab.checking import digest_of, opened  # noqa: E402
from lab.workers import Workers  # noqa: E402

from themis_core.testing.server import ScriptedServer  # noqa: E402

FULL = os.environ.get("THEMIS_CHAOS") == "full"
FIGURES: list[str] = []


@pytest.fixture(scope="session")
def count() -> Callable[[int, int], int]:
    """Chooses how often something is tried: `count(full, short)`."""
    return lambda full, short: full if FULL else short


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Writes a line into the table that is shown at the end: `figures(kills=100, lost=0)`."""

    def note(**values: Any) -> None:
        FIGURES.append(f"{request.node.name}: " + ", ".join(f"{name} {value}" for name, value in values.items()))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section(f"chaos figures ({'full' if FULL else 'short'} counts)")
        for line in FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload, compiled."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.fail("NOT RUN: power cuts and failing disks need Linux and a C compiler (gcc or cc)")
    made = tmp_path_factory.mktemp("shim") / "shim.so"
    source = CHAOS / "lab" / "shim.c"
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", str(made), str(source), "-ldl", "-lpthread"], check=True)
    return made


@pytest.fixture(scope="session")
def session_workers() -> Iterator[Workers]:
    with Workers() as started:
        yield started


@pytest.fixture
def workers(session_workers: Workers) -> Iterator[Workers]:
    yield session_workers
    session_workers.end_all()


@pytest.fixture(scope="session")
def session_shimmed(shim: Path) -> Iterator[Workers]:
    with Workers(shim) as started:
        yield started


@pytest.fixture
def shimmed(session_shimmed: Workers) -> Iterator[Workers]:
    """Workers with the shim in them."""
    yield session_shimmed
    session_shimmed.end_all()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as started:
        yield started


@pytest.fixture
def server(shared_server: ScriptedServer) -> ScriptedServer:
    """A server that says every prompt back after 10 ms, its ledger empty."""
    shared_server.reset({"latency_s": 0.01})
    return shared_server


@pytest.fixture(scope="session")
def quiet(
    session_workers: Workers, shared_server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], str]:
    """The digest of the canonical export of an undisturbed run of so many trials."""

    @cache
    def run(trials: int) -> str:
        shared_server.reset({})
        made = make_benchmark(tmp_path_factory.mktemp("quiet"), shared_server.base_url, trials=trials)
        worker = session_workers.start(made)
        assert worker.wait() == 0, worker.said
        with opened(made) as store:
            return digest_of(store)

    return run
