"""What a role, a database or a server sets for its sessions changes nothing that is stored or read."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from themis_core import Generation, StorageError
from themis_core.testing.events import generation_recorded, key_of, run_started, score_entry, trial_finished
from themis_plugin_postgres import connection
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.store import PostgresStore

TEXTS = ["a\\b \\\\ '' \" \\x41", "nul \0 \\0", "lone \ud800 \\", "\\.\n\tNULL é € 🙂", "\x01\x7f\\134"]
SETTINGS = [
    ("standard_conforming_strings", "off"),
    ("backslash_quote", "on"),
    ("escape_string_warning", "on"),
    ("client_encoding", "LATIN1"),
    ("client_encoding", "SQL_ASCII"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "Asia/Kathmandu"),
    ("xmloption", "document"),
    ("array_nulls", "off"),
    ("transform_null_equals", "on"),
    ("search_path", "pg_catalog"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("statement_timeout", "20ms"),
    ("lock_timeout", "1ms"),
    ("idle_in_transaction_session_timeout", "1ms"),
    ("idle_session_timeout", "100ms"),
    ("synchronous_commit", "off"),
    ("row_security", "on"),
    ("plan_cache_mode", "force_generic_plan"),
]


@pytest.fixture
def role(url: str, url_as: Callable[[str, str], str], schema_name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A role of its own, in whose name stores are opened."""
    name = f"role_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD 'word'".encode())
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url_as(name, "word"))
    return name


def set_for(url: str, role: str, name: str, value: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        quoted = value if name in ("search_path", "DateStyle") else f"'{value}'"
        admin.execute(f"ALTER ROLE {role} SET {name} = {quoted}".encode())


def open_store(schema_name: str, folder: Path, mode: Any = "write") -> PostgresStore:
    store = PostgresBlobStorageSpec(schema_name=schema_name).open(folder, mode=mode)
    assert isinstance(store, PostgresStore)
    return store


def fill(store: PostgresStore) -> None:
    store.append([run_started()])
    for names in (["0"], [str(number) for number in range(1, 30)]):  # by INSERT, and by COPY
        answers = [Generation("answered", TEXTS[int(name) % len(TEXTS)] + name, cost=0.1 + 0.2) for name in names]
        store.append([generation_recorded(name, each, text=name) for name, each in zip(names, answers, strict=True)])
        store.append([trial_finished(name, scores=(score_entry(name),)) for name in names])


def told(store: PostgresStore) -> Any:
    keys = [key_of(str(number)) for number in range(30)]
    texts = {key: (each.text, each.cost) for key, each in store.generations(keys).items()}
    return texts, [replace(row, finished_at="") for row in store.trial_rows("run")], list(store.verify())


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_of_the_role_changes_nothing(
    url: str, role: str, schema_name: str, tmp_path: Path, name: str, value: str
) -> None:
    quiet = open_store(f"{schema_name}_q", tmp_path)
    fill(quiet)
    expected = told(quiet)
    quiet.close()
    assert len(expected[0]) == len(expected[1]) == 30
    assert expected[2] == []
    set_for(url, role, name, value)
    store = open_store(schema_name, tmp_path)
    fill(store)
    assert told(store) == expected
    store.close()
    reading = open_store(schema_name, tmp_path, "read")
    assert told(reading) == expected
    reading.close()


def test_values_that_are_read_back_otherwise_refuse_the_store(
    url: str, role: str, schema_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the session's own settings, the batch that is read back shows the fault."""
    open_store(schema_name, tmp_path).close()
    set_for(url, role, "standard_conforming_strings", "off")
    own = connection.session_settings

    def leaving_it(*given: Any) -> dict[str, str]:
        return {key: value for key, value in own(*given).items() if key != "standard_conforming_strings"}

    monkeypatch.setattr(connection, "session_settings", leaving_it)
    with pytest.raises(StorageError, match="gives back other values of payloads than it was given"):
        open_store(schema_name, tmp_path)


@pytest.mark.parametrize("change", ["digest = sha256(NEW.digest)", "text = upper(NEW.text)", "raw = NULL"])
def test_a_trigger_that_changes_what_is_written_is_found_at_opening(
    url: str, schema_name: str, tmp_path: Path, change: str
) -> None:
    store = open_store(schema_name, tmp_path)
    place = f'"{schema_name}"'
    store._database.run(
        f"CREATE FUNCTION {place}.f() RETURNS trigger AS 'BEGIN NEW.{change}; RETURN NEW; END' LANGUAGE plpgsql;"
        f"CREATE TRIGGER t BEFORE INSERT ON {place}.payloads FOR EACH ROW EXECUTE FUNCTION {place}.f()"
    )
    store.close()
    with pytest.raises(StorageError, match="look for a trigger, a rule or a proxy"):
        open_store(schema_name, tmp_path)
    open_store(schema_name, tmp_path, "read").close()


def test_what_is_written_to_be_read_back_is_not_kept(url: str, schema_name: str, tmp_path: Path) -> None:
    for _ in range(2):
        store = open_store(schema_name, tmp_path)
        assert store._database.row("SELECT (SELECT count(*) FROM payloads), (SELECT count(*) FROM scores)") == (0, 0)
        store.close()


def test_a_policy_that_hides_rows_is_an_error_and_no_short_result(
    url: str, url_as: Callable[[str, str], str], schema_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(schema_name, tmp_path)
    fill(store)
    store.close()
    reader = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as admin:
        for each in (
            f"CREATE ROLE {reader} LOGIN PASSWORD 'word'",
            f'GRANT USAGE ON SCHEMA "{schema_name}" TO {reader}',
            f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema_name}" TO {reader}',
            f'ALTER TABLE "{schema_name}".trials ENABLE ROW LEVEL SECURITY',
            f'CREATE POLICY half ON "{schema_name}".trials USING (id % 2 = 0)',
        ):
            admin.execute(each.encode())
    monkeypatch.setenv("THEMIS_POSTGRES_URL", url_as(reader, "word"))
    reading = open_store(schema_name, tmp_path, "read")
    with pytest.raises(StorageError, match="row-level security"):
        list(reading.trial_rows("run"))
    reading.close()
