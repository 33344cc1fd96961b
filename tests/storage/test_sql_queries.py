"""The queries of docs/storage.md, on SQLite and on Postgres: both give the same rows, and these."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from themis_core import (
    Event,
    Extraction,
    Generation,
    GenerationRecorded,
    Item,
    ItemRecorded,
    Request,
    Score,
    Store,
    Usage,
)
from themis_core.testing.events import AT, key_of, run_finished, run_started, score_entry, trial_finished
from themis_core.testing.postgres import PostgresServer
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

Rows: TypeAlias = list[tuple[Any, ...]]
Ask: TypeAlias = Callable[[str], Rows]

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"
QUERIES = dict(re.findall(r"^### (.+)\n(?:(?!#).*\n)*?```sql\n([^`]+)^```$", PAGE.read_text("utf-8"), re.MULTILINE))
LATER = "2026-02-02T00:00:00.000000+00:00"

# Model, prompt, item, outcome, value of its score (None: unscored; no score at all if failed), seconds, attempts.
TRIALS: list[tuple[str, str, str, Any, float | None, float, int]] = [
    ("large", "plain", "1", "answered", 1.0, 2.0, 1),
    ("large", "plain", "2", "answered", 0.0, 4.0, 3),
    ("large", "plain", "3", "answered", 1.0, 3.0, 1),
    ("large", "cot", "1", "answered", None, 3.0, 1),
    ("small", "plain", "1", "answered", 1.0, 0.5, 1),
    ("small", "plain", "2", "refused", 0.0, 0.5, 1),
    ("small", "plain", "3", "answered", 0.0, 0.5, 2),
    ("small", "cot", "1", "failed", "timeout", 0.0, 6),  # type: ignore[list-item]
    ("small", "cot", "2", "failed", "timeout", 0.0, 6),  # type: ignore[list-item]
    ("small", "cot", "3", "failed", "connection", 0.0, 6),  # type: ignore[list-item]
]


def events() -> Iterator[Event]:
    yield run_started("my-run", manifest={"dimensions": {"test": {"subject": "sums"}}})
    for item in "123":
        kept = {"topic": "hard" if item == "3" else "easy"}
        yield ItemRecorded(Item(item, {"question": "How many?"}, item, kept, digest=key_of(f"item {item}")))
    for trial in TRIALS:
        yield from trial_events("my-run", *trial)
    yield run_finished("my-run", status="failed")
    yield run_started("next-run", at=LATER)
    for model, prompt, item, outcome, value, *rest in TRIALS[:3]:
        yield from trial_events("next-run", model, prompt, item, outcome, 0.0 if item == "3" else value, *rest)  # type: ignore[arg-type]


def trial_events(
    run_id: str, model: str, prompt: str, item: str, outcome: Any, value: Any, seconds: float, attempts: int
) -> Iterator[Event]:
    failed = outcome == "failed"
    name = f"{run_id} {model} {prompt} {item}"
    answer = "" if failed or outcome == "refused" else f"A: {item}"
    generation = Generation(
        outcome,
        answer,
        error_code=value if failed else None,
        usage=Usage() if failed else Usage(10, 20),
        cost=None if failed else 0.5,
        latency_s=seconds,
        attempts=attempts,
    )
    request = Request(model, [{"role": "user", "content": "How many?"}], {}, item, key=key_of(name))
    yield GenerationRecorded(request.key, run_id, AT, request, generation)
    unparsed = model == "small" and item == "3"
    found = Extraction(None, "no_match") if unparsed or not answer else Extraction(item)
    result = Score(value) if value is not None else Score(None, "no_reference")
    # A second metric of the same score: a query that joins or counts without naming the metric would count twice.
    scores = tuple(
        score_entry(f"{name} {metric}", result, metric=metric, extraction=found)
        for metric in ("text/numeric_match", "text/contains")
    )
    yield trial_finished(
        item,
        run_id=run_id,
        model_id=model,
        prompt_variant_id=prompt,
        trial_id=key_of(f"{model} {prompt} {item}"),
        generation_keys=(request.key,),
        outcome=outcome,
        error_code=value if failed else None,
        scores=() if failed else scores,
    )


def fill(store: Store) -> None:
    with closing(store):
        store.append(list(events()))


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    folder = tmp_path_factory.mktemp("sqlite")
    fill(SqliteBlobStorageSpec(root_dir=".").open(folder))
    with closing(sqlite3.connect(folder / "themis.sqlite3")) as connection:
        yield lambda sql: connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def on_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    url = postgres.new_database()
    backend = PostgresBlobStorageSpec(url=url)
    fill(backend.open(tmp_path_factory.mktemp("postgres")))
    with psycopg.connect(url, options=f"-c search_path={backend.schema_name}") as connection:
        yield lambda sql: connection.execute(sql.encode()).fetchall()


EXPECTED: dict[str, Rows] = {
    "Which runs are there, and how far did they get?": [
        ("next-run", "running", 1, 3, 0, LATER),
        ("my-run", "failed", 1, 10, 3, AT),
    ],
    "How good is each model with each prompt?": [
        (model, prompt, "accuracy", metric, *figures)
        for model, prompt, *figures in (
            ("large", "plain", 2 / 3, 3, 0),
            ("small", "plain", 1 / 3, 3, 0),
            ("large", "cot", None, 0, 1),
        )
        for metric in ("text/contains", "text/numeric_match")
    ],
    "How good is each model on each kind of item?": [
        ("large", '{"subject":"sums"}', '{"topic":"easy"}', 0.5, 2),
        ("large", '{"subject":"sums"}', '{"topic":"hard"}', 1.0, 1),
        ("small", '{"subject":"sums"}', '{"topic":"easy"}', 0.5, 2),
        ("small", '{"subject":"sums"}', '{"topic":"hard"}', 0.0, 1),
    ],
    "By how much do they differ, item by item?": [
        (metric, 3, pytest.approx(1 / 3), 1, 0) for metric in ("text/contains", "text/numeric_match")
    ],
    "How did the trials end?": [
        ("large", "answered", 4),
        ("small", "failed", 3),
        ("small", "answered", 2),
        ("small", "refused", 1),
    ],
    "Why did trials fail?": [("small", "timeout", 2), ("small", "connection", 1)],
    "Which items does no model get right?": [("2", 2, 0.0)],
    "Where do two models disagree?": [
        ("accuracy", "text/contains", "3", "plain", 1.0, 0.0),
        ("accuracy", "text/numeric_match", "3", "plain", 1.0, 0.0),
    ],
    "What could not be parsed, and why?": [
        ("small", "plain", "temperature=0.0", "2", 0, "number", "no_match", None),
        ("small", "plain", "temperature=0.0", "3", 0, "number", "no_match", "A: 3"),
    ],
    "What did it cost?": [("large", 4, 40, 80, 2.0, 1.0), ("small", 6, 30, 60, 1.5, 1.5)],
    "How slow are the models, and how often were they asked again?": [
        ("large", 4, 3.0, 4.0, 2),
        ("small", 3, 0.5, 0.5, 1),
    ],
    "What became worse from one run to the next?": [
        ("accuracy", "text/contains", "large", "plain", "3", 1.0, 0.0),
        ("accuracy", "text/numeric_match", "large", "plain", "3", 1.0, 0.0),
    ],
}


@pytest.mark.parametrize("question", EXPECTED)
def test_a_query_gives_these_rows_on_sqlite_and_on_postgres(on_sqlite: Ask, on_postgres: Ask, question: str) -> None:
    rows = [ask(QUERIES[question]) for ask in (on_sqlite, on_postgres)]
    assert rows == [EXPECTED[question]] * 2


def test_the_page_has_twelve_queries_and_each_is_tested() -> None:
    assert set(QUERIES) == set(EXPECTED)
    assert len(QUERIES) == 12
