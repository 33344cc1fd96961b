"""What is made in a schema, which schemas are refused untouched, and what is in a store."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from themis_core import Generation, GenerationRecorded, Request, StorageBackend, StorageError, Usage
from themis_core.testing.events import (
    batch_ended,
    batch_intended,
    batch_submitted,
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)
from themis_core.testing.postgres import PostgresServer
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.creation import SCHEMA_FILE
from themis_plugin_postgres.generating import schema_text
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_sql import SqlStore


def test_the_file_of_statements_is_as_the_schema_gives_it() -> None:
    assert SCHEMA_FILE.read_text("utf-8") == schema_text()


@pytest.fixture
def backend(url: str, schema_name: str) -> PostgresBlobStorageSpec:
    return PostgresBlobStorageSpec(schema_name=schema_name)


def query(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def open_store(backend: StorageBackend, folder: Path, **options: Any) -> SqlStore:
    store = backend.open(folder, **options)
    assert isinstance(store, SqlStore)
    return store


def contents(store: SqlStore) -> dict[str, list[Any]]:
    """Return all rows of all tables."""
    names = store._database.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {name: sorted(store._database.rows(f"SELECT * FROM {name}"), key=repr) for (name,) in list(names)}


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_newer_store_is_refused_and_left_as_it_was(
    backend: PostgresBlobStorageSpec, url: str, tmp_path: Path, mode: str
) -> None:
    store = open_store(backend, tmp_path)
    store.append([run_started()])
    store._database.run("UPDATE store_info SET version = 99")
    before = contents(store)
    with pytest.raises(StorageError, match=r"newer Themis \(schema 99, this one knows \d+\): update"):
        backend.open(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert contents(store) == before
    store.close()


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_schema_with_other_tables_is_refused_and_left_as_it_was(
    backend: PostgresBlobStorageSpec, url: str, tmp_path: Path, mode: str
) -> None:
    name = backend.schema_name
    query(url, f'CREATE SCHEMA "{name}"')
    query(url, f'CREATE TABLE "{name}".notes (id int)')
    with pytest.raises(StorageError, match=r"is not a store of Themis|there is no store"):
        backend.open(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert query(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{name}'") == [("notes",)]


def test_an_empty_schema_becomes_a_store_for_a_role_that_may_make_no_schema(
    url: str,
    url_as: Callable[[str, str], str],
    backend: PostgresBlobStorageSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = backend.schema_name
    query(url, f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'x'")
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url_as(name, "x"))
    with pytest.raises(StorageError, match=r"permission denied for database.*ask its owner"):
        backend.open(tmp_path)
    query(url, f'CREATE SCHEMA "{name}" AUTHORIZATION "{name}"')
    store = open_store(backend, tmp_path)
    store.append([run_started()])
    assert [run.run_id for run in store.runs()] == ["run"]
    store.close()
    query(url, f'DROP OWNED BY "{name}"')
    query(url, f'DROP ROLE "{name}"')


def test_a_role_that_may_only_read_reads_and_verifies(
    url: str,
    url_as: Callable[[str, str], str],
    backend: PostgresBlobStorageSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = backend.schema_name
    full_store(backend, tmp_path).close()
    query(url, f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'x'")
    query(url, f'GRANT USAGE ON SCHEMA "{name}" TO "{name}"')
    query(url, f'GRANT SELECT ON ALL TABLES IN SCHEMA "{name}" TO "{name}"')
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url_as(name, "x"))
    store = open_store(backend, tmp_path, mode="read")
    assert [row.outcome for row in store.trial_rows("run")] == ["answered", "answered"]
    assert list(store.verify()) == []
    store.close()
    query(url, f'DROP OWNED BY "{name}"')
    query(url, f'DROP ROLE "{name}"')


def test_reading_where_nothing_is_stored_makes_no_schema(
    backend: PostgresBlobStorageSpec, url: str, tmp_path: Path
) -> None:
    with pytest.raises(
        StorageError, match=r"there is no store at .*: run something first, or name another schema_name"
    ):
        backend.open(tmp_path, mode="read")
    assert query(url, f"SELECT 1 FROM pg_namespace WHERE nspname = '{backend.schema_name}'") == []


def test_a_database_that_can_not_hold_every_text_is_refused(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.new_database()
    name = url.partition("?")[0].rpartition("/")[2]
    server.execute(f'DROP DATABASE "{name}"')
    server.execute(f"CREATE DATABASE \"{name}\" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url)
    with pytest.raises(StorageError, match="has the encoding LATIN1, which can't hold every text"):
        PostgresBlobStorageSpec().open(tmp_path)


def test_what_is_opened_to_read_changes_nothing(backend: PostgresBlobStorageSpec, url: str, tmp_path: Path) -> None:
    open_store(backend, tmp_path).close()
    store = open_store(backend, tmp_path, mode="read")
    before = contents(store)
    with pytest.raises(StorageError, match="was opened to read only"):
        store.append([generation_recorded()])
    with pytest.raises(StorageError, match="was opened to read only"), store.lock_run("run"):
        pass
    with pytest.raises(StorageError, match="read-only transaction"), store._database.errors():
        store._database.run("DELETE FROM events")
    assert contents(store) == before
    store.close()


START = """
import sys
from pathlib import Path
from themis_core.testing.events import *
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
store = PostgresBlobStorageSpec(schema_name=sys.argv[1], synchronous_commit="off").open(Path(sys.argv[2]))
for number in range(20):
    name = f"{sys.argv[3]}-{number}"
    store.append([
        generation_recorded(name, run_id=sys.argv[3], text=name),
        trial_finished(name, run_id=sys.argv[3], generation_keys=(key_of(name),), scores=(score_entry(name),)),
    ])
"""


def test_several_processes_make_and_fill_one_store_at_once(
    backend: PostgresBlobStorageSpec, url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", START, backend.schema_name, str(tmp_path)]
    processes = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "abc"]
    for process in processes:
        assert process.communicate()[1].replace("fsync", "") == "" or process.returncode == 0
    store = open_store(backend, tmp_path, mode="read")
    assert {run: len(list(store.trial_rows(run))) for run in "abc"} == dict.fromkeys("abc", 20)
    seqs = [event["seq"] for event in store.events()]
    assert len(seqs) == 120
    assert seqs == sorted(set(seqs))
    store.close()


def full_store(backend: StorageBackend, folder: Path) -> SqlStore:
    """Return a store in which everything was replaced once that can be."""
    store = open_store(backend, folder)
    failed = Generation("failed", error_code="timeout")
    later = "2026-02-02T00:00:00+00:00"
    manifest = {"dimensions": {"test": {"subject": "sums"}}}
    store.append([run_started(manifest=manifest), trial_finished(outcome="failed"), generation_recorded("1", failed)])
    store.append([item_recorded(), trial_finished("2", scores=(score_entry("a"),)), run_finished(status="failed")])
    store.append([run_started(at=later), generation_recorded("1"), generation_recorded("judge", text="judge!")])
    turns = (key_of("judge"), key_of("1"))
    store.append([trial_finished(at=later, generation_keys=turns, scores=(score_entry("b"),)), run_finished(at=later)])
    store.append([batch_intended(), batch_submitted(), batch_ended()])
    return store


def test_projections_are_rebuilt_equal_from_the_log(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    store = full_store(backend, tmp_path)
    before = contents(store)
    assert {name for name, rows in before.items() if not rows} == {"run_holders", "run_parts"}
    store.rebuild()
    assert contents(store) == before
    store.close()


def test_the_views_hold_what_those_of_sqlite_hold(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    stores = [full_store(each, tmp_path) for each in (backend, SqliteBlobStorageSpec())]
    for view in ("v_runs", "v_trials", "v_generations", "v_scores"):
        rows = [sorted(store._database.rows(f"SELECT * FROM {view}"), key=repr) for store in stores]
        assert rows[0] == rows[1] != []
    for store in stores:
        store.close()


def test_names_and_params_may_be_longer_than_an_index_takes(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    rng = random.Random(1)
    name = "".join(chr(rng.randrange(32, 0xD000)) for _ in range(20_000))
    request = Request(name, [], {"schema": name}, name, key=name)
    record = GenerationRecorded(
        key_of("1"), name, "2026-01-01T00:00:00.000000+00:00", request, Generation("answered", name)
    )
    names: dict[str, Any] = dict.fromkeys(("run_id", "slice_id", "prompt_variant_id", "model_id", "params"), name)
    entry = score_entry("a", score=name, metric=name, parse=name)
    store = open_store(backend, tmp_path)
    for _ in range(2):
        store.append([run_started(name), record, trial_finished(name, **names, scores=(entry,))])
        store._names.forget()
    assert list(store.generation_records([key_of("1")])) == [record]
    assert [row.slice_id for row in store.trial_rows(name)] == [name]
    with store.lock_run(name):
        pass
    store.close()


def test_rows_come_in_the_order_of_code_points_whatever_the_language_of_the_database(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    names = ["ä", "a", "B", "b", "A", "10", "9", "é", "Z", "\U0001f600", "ﬀ", "_", "-"]
    store = open_store(backend, tmp_path)
    store.append([trial_finished(name, trial_id=key_of(name)) for name in names])
    assert [row.item_id for row in store.trial_rows("run")] == sorted(names)
    found = store._database.rows(
        "SELECT DISTINCT collation_name FROM information_schema.columns c JOIN information_schema.tables t"
        " USING (table_schema, table_name) WHERE table_schema = current_schema() AND data_type = 'text'"
        " AND table_type = 'BASE TABLE' AND table_name NOT IN ('run_holders', 'run_parts', 'store_info')"
    )
    assert list(found) == [("C",)]
    store.close()


def test_a_long_stream_holds_few_rows_in_memory_and_others_go_on_beside_it(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    store = open_store(backend, tmp_path)
    numbers = store._database.rows("SELECT generate_series(1, 100000000), repeat('x', 1000)")
    assert [number for number, _ in itertools.islice(numbers, 1_000)] == list(range(1, 1_001))
    store.append([run_started()])
    inner = store._database.rows("SELECT generate_series(1, 3)")
    assert [number for (number,) in inner] == [1, 2, 3]
    assert next(numbers)[0] == 1_001
    numbers.close()  # type: ignore[attr-defined]
    assert [run.run_id for run in store.runs()] == ["run"]
    store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
        "INSERT INTO items (id, lookup, digest, item_id, content) VALUES (?, ?, ?, ?, ?)",
    ],
)
@pytest.mark.parametrize("count", [1, 50])
def test_an_error_never_shows_what_is_stored(
    backend: PostgresBlobStorageSpec, tmp_path: Path, sql: str, count: int
) -> None:
    store = open_store(backend, tmp_path)
    prompt = key_of("a prompt")
    for bad in (prompt, prompt.encode()):
        rows = [(number, 1, b"", prompt, bad) for number in range(count)]
        with pytest.raises(StorageError) as caught, store._database.errors(), store._database.transaction():
            store._database.write(sql, rows)
        assert prompt not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(StorageError, match=r"division by zero|refuses a value"), store._database.errors():
        store._database.row("SELECT 1 / 0")
    store._database.run("DROP TABLE payloads CASCADE")
    with pytest.raises(StorageError, match=r'payloads".*not as Themis made them') as caught:
        store.append([generation_recorded("1", text=prompt)])
    assert prompt not in "".join(traceback.format_exception(caught.value))
    store.close()


texts = st.text(st.characters(codec=None), max_size=40)  # lone surrogates and NUL included
floats = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=3)
counts = st.none() | st.integers(0, 2**80)
generations = st.builds(
    Generation,
    status=st.sampled_from(["answered", "refused", "truncated", "empty", "failed"]),
    text=texts,
    reasoning=st.none() | texts,
    finish_reason=st.none() | texts,
    error_code=st.none() | texts,
    usage=st.builds(Usage, counts, counts, counts, counts),
    cost=st.none() | floats,
    latency_s=st.none() | floats,
    provider=objects,
)
requests = st.builds(
    Request,
    model_id=texts,
    messages=st.lists(objects, max_size=3),
    params=objects,
    item_id=texts,
    sample_index=st.integers(0, 1000),
    seed=st.none() | st.integers(-(2**80), 2**80),
    key=texts,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.tuples(requests, generations), min_size=1, max_size=12))
def test_any_generation_comes_back_equal(
    backend: PostgresBlobStorageSpec, tmp_path: Path, asked: list[tuple[Request, Generation]]
) -> None:
    records = {}
    for pair in asked:
        key = key_of(repr(pair))
        records[key] = GenerationRecorded(key, "run", "2026-01-01T00:00:00.000000+00:00", *pair)
    store = open_store(backend, tmp_path)
    store.append(list(records.values()))
    assert list(store.generation_records(list(records))) == list(records.values())
    found = {key: each.generation for key, each in records.items() if not each.generation.failed}
    assert store.generations(list(records)) == found
    store.close()
