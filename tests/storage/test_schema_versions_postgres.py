"""What becomes of a store in Postgres when the schema changes: the version after the present one is made up."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from made_store import fill, lines

import themis_plugin_postgres.creation
import themis_sql.migrations
from themis_core import StorageError, StoreOutdated
from themis_core.testing.events import generation_recorded, key_of
from themis_core.testing.postgres import PostgresServer
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_sql import SCHEMA_VERSION, Database
from themis_sql.migrations import MIGRATIONS, Migration

NEXT = SCHEMA_VERSION + 1


def add_index(database: Database) -> None:
    database.run("CREATE INDEX events_at ON events (at)")


def fail(database: Database) -> None:
    add_index(database)
    database.run("DROP TABLE trials CASCADE")
    database.run("SELECT * FROM nowhere")


@pytest.fixture
def backend(postgres: PostgresServer, tmp_path: Path) -> PostgresBlobStorageSpec:
    """A backend with a store that holds everything that the fixtures hold."""
    backend = PostgresBlobStorageSpec(url=postgres.new_database(), inline_limit_bytes=1_024)
    with closing(backend.open(tmp_path)) as store:
        fill(store)
    return backend


def change(backend: PostgresBlobStorageSpec, *statements: str) -> list[Any]:
    """Run statements as a stranger would, and return the rows of the last one."""
    assert backend.url is not None
    with psycopg.connect(backend.url, options=f"-c search_path={backend.schema_name}") as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def indices(backend: PostgresBlobStorageSpec) -> bool:
    return bool(change(backend, "SELECT 1 FROM pg_indexes WHERE indexname = 'events_at'"))


def use_next_version(monkeypatch: pytest.MonkeyPatch, change: Callable[[Database], None]) -> None:
    monkeypatch.setattr(themis_sql.migrations, "MIGRATIONS", (*MIGRATIONS, Migration(NEXT, change)))
    for module in (themis_sql.migrations, themis_plugin_postgres.creation):
        monkeypatch.setattr(module, "SCHEMA_VERSION", NEXT)


def test_opening_an_older_store_to_write_brings_it_up_to_date(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(backend.open(tmp_path)) as store:
        before = lines(store)
        with monkeypatch.context() as later:
            use_next_version(later, add_index)
            with pytest.raises(StoreOutdated, match="themis storage migrate"):
                backend.open(tmp_path, mode="read")
            assert not indices(backend)
            change(backend, "UPDATE trials SET outcome = 'empty'", "DROP VIEW v_trials")
            for _ in range(2):
                with closing(backend.open(tmp_path)) as newer:
                    assert lines(newer) == before
                    assert list(newer.verify()) == []
        # The program that had it open is the older one now.
        with pytest.raises(StorageError, match="newer Themis"):
            store.append([generation_recorded("late")])
    assert indices(backend)
    assert change(backend, "SELECT count(*) FROM v_trials") == [(3,)]
    with pytest.raises(StorageError, match="newer Themis"):
        backend.open(tmp_path)


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(backend.open(tmp_path)) as store:
        before = lines(store)
    with monkeypatch.context() as later:
        use_next_version(later, fail)
        with pytest.raises(StorageError, match="nowhere"):
            backend.open(tmp_path)
    assert not indices(backend)
    with closing(backend.open(tmp_path)) as store:
        assert lines(store) == before
        store.append([generation_recorded("later")])
        assert store.stored_generations([key_of("later")]) == {key_of("later")}


KILLED = """
import os, signal, sys
from pathlib import Path
import themis_plugin_postgres.creation as creation, themis_sql.migrations as migrations
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.database import PostgresDatabase

def killed(self, version):  # the last statement before the commit
    os.kill(os.getpid(), signal.SIGKILL)

PostgresDatabase.set_schema_version = killed
migrations.SCHEMA_VERSION = creation.SCHEMA_VERSION = int(sys.argv[3])
migrations.MIGRATIONS = (*migrations.MIGRATIONS, migrations.Migration(int(sys.argv[3])))
PostgresBlobStorageSpec(url=sys.argv[2]).open(Path(sys.argv[1]))
"""


def test_a_migration_that_is_killed_leaves_the_store_as_it_was(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    with closing(backend.open(tmp_path)) as store:
        before = lines(store)
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(backend.url), str(NEXT)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with closing(backend.open(tmp_path)) as store:
        assert lines(store) == before
        assert list(store.verify()) == []
