"""The questions of docs/storage.md, each timed on a store of two runs of so many trials.

python -m benchmarks.cases.queries BACKEND TRIALS
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.stores import GROUP, Place
from benchmarks.table import Row
from themis_core import Event, Extraction, Generation, Score, Usage
from themis_core.testing.events import (
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"
RUNS = ("my-run", "next-run")
MODELS = ("large", "small")
LIMIT_S = 120.0


def rows(bench: Bench) -> Iterator[Row]:
    for backend in ("sqlite", "postgres"):
        took = bench.told(__name__, backend, str(bench.count(50_000)))
        slowest = max(took, key=lambda heading: took[heading])
        yield Row(f"two runs of 50,000 on {backend}, “{slowest}”, the slowest of {len(took)}: s", took[slowest])


def questions() -> dict[str, str]:
    """The queries of the page, by their headings."""
    found = re.findall(r"^### (.+?)$.*?^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {heading: sql.strip().rstrip(";") for heading, sql in found}


def events(count: int) -> Iterator[Event]:
    """Two runs of `count` trials, half of them of each model, of which some fail, are unparsed, wrong, or get worse."""
    for number in range(count // 2):
        yield item_recorded(str(number), text=f"Number {number}?")
    for run_id in RUNS:
        yield run_started(run_id)
        for model in MODELS:
            for number in range(count // 2):
                yield from trial(run_id, model, number)
        yield run_finished(run_id)


def trial(run_id: str, model: str, number: int) -> Iterator[Event]:
    name = f"{run_id} {model} {number}"
    its: dict[str, Any] = {"run_id": run_id, "model_id": model, "trial_id": key_of(f"trial {name}")}
    if number % 100 == 99:
        yield trial_finished(str(number), generation_keys=(), outcome="failed", error_code="timeout", **its)
        return
    answer = Generation("answered", f"A: {number}", usage=Usage(20, 5), cost=0.001, latency_s=0.5)
    recorded = generation_recorded(name, answer, run_id=run_id, text=f"Number {number}?")
    yield recorded
    right = number % (7 if model == "large" else 5) > (run_id == "next-run" and number % 11 == 0)
    found = Extraction(None, "no_match") if number % 20 == 3 else Extraction(str(number))
    score = score_entry(f"{name} s", Score(float(right)), metric="text/numeric_match", extraction=found)
    yield trial_finished(str(number), generation_keys=(recorded.key,), scores=(score,), **its)


def timed(backend: str, count: int) -> dict[str, float]:
    """Seconds of each question, as the store is when its writer has closed it."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        spec = Place(backend, Path(made), stack).new()
        store = spec.open(Path())
        with store.lock_run(RUNS[0]):
            left = events(count)
            while batch := list(islice(left, 3 * GROUP)):
                store.append(batch)
        store.close()
        ask = asker(spec)
        return {heading: seconds_of(ask, sql) for heading, sql in questions().items()}


def seconds_of(ask: Any, sql: str) -> float:
    begin = time.perf_counter()
    try:
        ask(sql)
    except Exception as error:  # noqa: BLE001 - each driver has its own for a statement that took too long
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return LIMIT_S
    return time.perf_counter() - begin


def asker(spec: Any) -> Any:
    """Return what asks as an SQL tool does: with the database's defaults, all rows at once, `LIMIT_S` at most."""
    if type(spec).__name__.startswith("Sqlite"):
        import sqlite3

        connection = sqlite3.connect(spec.location(Path()))

        def ask(sql: str) -> list[Any]:
            end = time.monotonic() + LIMIT_S
            connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
            return connection.execute(sql).fetchall()

        return ask
    import psycopg

    client = psycopg.connect(spec.url, autocommit=True)
    client.execute(f"SET search_path TO {spec.schema_name}".encode())
    client.execute(f"SET statement_timeout TO '{LIMIT_S:g}s'".encode())
    return lambda sql: client.execute(sql.encode()).fetchall()


if __name__ == "__main__":
    print(json.dumps(timed(sys.argv[1], int(sys.argv[2]))))
