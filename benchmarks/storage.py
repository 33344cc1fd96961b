"""Storage, measured without a run: batches saved, and a large store read. Each case prints its figures as JSON."""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from themis_core import Event, Generation, GenerationRecorded, StorageBackend, TrialFinished
from themis_core.testing.events import (
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)

GROUP = 64
"""Trials of a batch, as of a run with 64 in flight."""
ANSWER = "Some words before it, as models like to say them. " * 8
Write = tuple[str, list[tuple[Any, ...]]]


def trials(count: int) -> Iterator[list[Event]]:
    """One batch after another, each trial with its item, its answer and one score."""
    events = (event for number in range(count) for event in trial(str(number)))
    while batch := list(islice(events, 3 * GROUP)):
        yield batch


def trial(name: str) -> tuple[Event, GenerationRecorded, TrialFinished]:
    question = f"Number {name}: what is it, all told, if every step is written down?"
    answer = Generation("answered", f"{ANSWER}\nA: {name}")
    score = score_entry(f"score {name}")
    return (
        item_recorded(name, text=question, reference=name),
        generation_recorded(name, answer, text=question),
        trial_finished(name, scores=(score,)),
    )


class Place:
    """Where stores of one backend are made, each an empty one of its own."""

    def __init__(self, backend: str, folder: Path, stack: ExitStack) -> None:
        self.backend = backend
        self._folder = folder
        self._made = 0
        if backend == "postgres":
            from themis_core.testing.postgres import PostgresServer

            self._server = stack.enter_context(PostgresServer(fsync=True))

    def new(self) -> StorageBackend:
        self._made += 1
        folder = str(self._folder / str(self._made))
        if self.backend == "sqlite":
            from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

            return SqliteBlobStorageSpec(root_dir=folder)
        from themis_plugin_postgres.backend import PostgresBlobStorageSpec

        return PostgresBlobStorageSpec(url=self._server.new_database(), blob_root=folder)


def append(backend: str, count: int) -> dict[str, float]:
    """Acknowledged rows a second: of `Store.append`, and of the driver's `executemany` for the same rows."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        place = Place(backend, Path(made), stack)
        batches = list(trials(count))
        writes = recorded(place.new(), batches)
        rows = sum(len(values) for write in writes for _, values in write)
        store = place.new().open(Path())
        begin = time.perf_counter()
        for batch in batches:
            store.append(batch)
        seconds = time.perf_counter() - begin
        store.close()
        return {"themis": rows / seconds, "bare": rows / bare(place, writes)}


def recorded(spec: StorageBackend, batches: list[list[Event]]) -> list[list[Write]]:
    """The row-wise writes that the store makes, per batch."""
    writes: list[list[Write]] = []
    store = spec.open(Path())
    database = store._database  # type: ignore[attr-defined]
    write = database.write

    def note(sql: str, rows: list[tuple[Any, ...]]) -> None:
        writes[-1].append((sql, list(rows)))
        write(sql, rows)

    database.write = note
    for batch in batches:
        writes.append([])
        store.append(batch)
    store.close()
    return writes


def bare(place: Place, writes: list[list[Write]]) -> float:
    """Seconds that a loop takes which does nothing but begin, executemany per table, commit."""
    spec = place.new()
    spec.open(Path()).close()  # makes the tables
    execute, many, close = driver(spec)
    begin = time.perf_counter()
    for write in writes:
        execute("BEGIN IMMEDIATE" if place.backend == "sqlite" else "BEGIN")
        for sql, rows in write:
            many(sql, rows)
        execute("COMMIT")
    seconds = time.perf_counter() - begin
    close()
    return seconds


def driver(
    spec: Any,
) -> tuple[Callable[[str], Any], Callable[[str, list[tuple[Any, ...]]], Any], Callable[[], None]]:
    """Execute, executemany and close of the driver itself, as durable as the store."""
    if type(spec).__name__.startswith("Sqlite"):
        connection = sqlite3.connect(spec.location(Path()), isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection.execute, connection.executemany, connection.close
    import psycopg

    client = psycopg.connect(spec.url, autocommit=True)
    client.execute(f"SET search_path TO {spec.schema_name}".encode())
    cursor = client.cursor()

    def many(sql: str, rows: list[tuple[Any, ...]]) -> None:
        cursor.executemany(sql.replace("?", "%s").encode(), rows)

    return (lambda sql: cursor.execute(sql.encode())), many, client.close


def large(count: int, folder: Path) -> dict[str, float]:
    """Reading a store of so many trials, in a process of its own: seconds and peak memory (MB)."""
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    spec = SqliteBlobStorageSpec(root_dir=str(folder))
    figures = {}
    begin = time.perf_counter()
    store = spec.open(folder, mode="read")
    figures["open"] = time.perf_counter() - begin
    begin = time.perf_counter()
    found = 0
    for start in range(0, count, 256):
        found += len(store.stored_generations([key_of(str(n)) for n in range(start, min(start + 256, count))]))
    figures["look up"] = time.perf_counter() - begin
    assert found == count
    begin = time.perf_counter()
    (row,) = store._database.rows(  # type: ignore[attr-defined]
        "SELECT slice_id, model_id, score, metric, count(*), avg(value) FROM v_scores"
        " WHERE run_id = 'run' GROUP BY slice_id, model_id, score, metric"
    )
    figures["aggregate"] = time.perf_counter() - begin
    assert row[4] == count
    begin = time.perf_counter()
    assert sum(1 for _ in store.score_rows("run")) == count
    figures["stream"] = time.perf_counter() - begin
    store.close()
    figures["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def fill(count: int, folder: Path) -> dict[str, float]:
    from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

    store = SqliteBlobStorageSpec(root_dir=str(folder)).open(folder)
    store.append([run_started()])
    for batch in trials(count):
        store.append(batch)
    store.append([run_finished()])
    store.close()
    return {"bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def main(name: str, *arguments: str) -> None:
    figures = {
        "append": lambda: append(arguments[0], int(arguments[1])),
        "fill": lambda: fill(int(arguments[0]), Path(arguments[1])),
        "large": lambda: large(int(arguments[0]), Path(arguments[1])),
    }[name]()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
