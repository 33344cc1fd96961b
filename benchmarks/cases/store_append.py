"""Batches saved without a run: rows a second of `Store.append`, and of the driver's `executemany` for the same rows.

python -m benchmarks.cases.store_append BACKEND TRIALS
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.stores import Place, made_trials
from benchmarks.table import Row
from themis_core import Event, StorageBackend

Write = tuple[str, list[tuple[Any, ...]]]


def append(backend: str, count: int) -> dict[str, float]:
    """Acknowledged rows a second of both."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        place = Place(backend, Path(made), stack)
        batches = list(made_trials(count))
        writes = recorded(place.new(), batches)
        written = sum(len(values) for write in writes for _, values in write)
        store = place.new().open(Path())
        begin = time.perf_counter()
        for batch in batches:
            store.append(batch)
        seconds = time.perf_counter() - begin
        store.close()
        return {"themis": written / seconds, "bare": written / bare(place, writes)}


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


def rows(bench: Bench) -> Iterator[Row]:
    for backend in ("sqlite", "postgres"):
        told = bench.told(__name__, backend, str(bench.count(19_200)))
        name = f"batches of 64 trials saved on {backend}: rows a second"
        yield Row(name, told["themis"], {"executemany": told["bare"]}, goal=told["bare"] / 2, at_least=True)


if __name__ == "__main__":
    print(json.dumps(append(sys.argv[1], int(sys.argv[2]))))
