"""Opening a benchmark's store after the fact, and holding it against the promises."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from lab.benchmark import Acknowledged, Benchmark
from lab.invariants import problems

from themis_core import ProjectSpec, StorageError, Store
from themis_core.plugins import open_storage
from themis_core.reading import Place, read_spec
from themis_core.testing.server import ScriptedServer
from themis_plugin_interop.canonical import canonical_digest

__all__ = ["copied", "digest_of", "ended_well", "now", "opened"]


@contextmanager
def opened(benchmark: Benchmark, mode: Literal["read", "write"] = "read") -> Iterator[Store]:
    """The store that the benchmark's spec names."""
    project = ProjectSpec.model_validate(read_spec(benchmark.spec).data["project"])
    _, storage = open_storage(project, benchmark.folder, Place())
    with closing(storage.open(benchmark.folder, mode=mode)) as store:
        yield store


def copied(benchmark: Benchmark, folder: Path) -> Benchmark:
    """A copy of the folder, to look at without changing what the next execution finds."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(benchmark.folder, folder, ignore=lambda _, names: [n for n in names if n.endswith(".txt")])
    return benchmark.at(folder)


def now(benchmark: Benchmark, acknowledged: list[Acknowledged], mode: Literal["read", "write"] = "read") -> list[str]:
    """The broken promises of a store in the middle of a run."""
    if not acknowledged and not (benchmark.folder / "store" / "themis.sqlite3").exists():
        return []
    try:
        with opened(benchmark, mode) as store:
            found = problems(benchmark, store, acknowledged=acknowledged)
    except StorageError as error:
        if not acknowledged and "is not a store" in str(error):
            return []  # killed before its tables were there; opening it to write makes them
        return [f"unreadable: {error}"]
    return found + _damage(benchmark)


def digest_of(store: Store) -> str:
    """The digest of the canonical export of the store's one run."""
    (run,) = store.runs()
    return canonical_digest(store, run.run_id)


def ended_well(benchmark: Benchmark, server: ScriptedServer, quiet: str) -> list[str]:
    """The broken promises of a run that has come to its end; `quiet` is the digest of an undisturbed run's results."""
    acknowledged, requests = benchmark.acknowledged(), server.requests()
    with opened(benchmark) as store:
        found = problems(benchmark, store, acknowledged=acknowledged, requests=requests, complete=True)
        if digest_of(store) != quiet:
            found.append("different: the results are not those of a quiet run")
    return found + _damage(benchmark)


def _damage(benchmark: Benchmark) -> list[str]:
    """What the database itself finds wrong with its file."""
    path = benchmark.folder / "store" / "themis.sqlite3"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    return [] if said == ["ok"] else [f"damaged: {line}" for line in said[:3]]
