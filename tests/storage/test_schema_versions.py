"""Stores that earlier versions made, and what becomes of them; the version after the present one is made up."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from made_store import RUNS, lines

import themis_plugin_sqlite.database
import themis_sql.migrations
from themis_core import StorageError, Store, StoreOutdated
from themis_core.testing.events import generation_recorded, key_of
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_sql import SCHEMA_VERSION, Database
from themis_sql.migrations import MIGRATIONS, Migration

FIXTURES = Path(__file__).parent / "fixtures"
BACKEND = SqliteBlobStorageSpec(root_dir=".")
NEXT = SCHEMA_VERSION + 1


def old_store(folder: Path, name: str = f"schema-{SCHEMA_VERSION}") -> Path:
    shutil.copytree(FIXTURES / name, folder, dirs_exist_ok=True)
    return folder / "themis.sqlite3"


def expected(name: str = f"schema-{SCHEMA_VERSION}") -> list[str]:
    return (FIXTURES / name / "canonical.jsonl").read_text("ascii").splitlines()


def state(path: Path) -> tuple[int, bool]:
    """Return the version of a store, and whether it has what the made-up migration adds."""
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return version, bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events_at'").fetchall())


def add_index(database: Database) -> None:
    database.run("CREATE INDEX events_at ON events (at)")


def use_next_version(monkeypatch: pytest.MonkeyPatch, migration: Migration) -> None:
    monkeypatch.setattr(themis_sql.migrations, "MIGRATIONS", (*MIGRATIONS, migration))
    for module in (themis_sql.migrations, themis_plugin_sqlite.database):
        monkeypatch.setattr(module, "SCHEMA_VERSION", NEXT)


def test_every_version_has_its_migration_and_its_fixture() -> None:
    assert [each.version for each in MIGRATIONS] == list(range(2, SCHEMA_VERSION + 1))
    assert {each.name for each in FIXTURES.iterdir()} == {f"schema-{each}" for each in range(1, SCHEMA_VERSION + 1)}


@pytest.mark.parametrize("name", sorted(each.name for each in FIXTURES.iterdir()))
def test_a_store_that_an_earlier_version_wrote_gives_what_was_put_into_it(tmp_path: Path, name: str) -> None:
    path = old_store(tmp_path, name)
    with closing(BACKEND.open(tmp_path)) as store:
        assert lines(store) == expected(name)
        assert list(store.verify()) == []
        assert [run.run_id for run in store.runs()] == list(reversed(RUNS))
        store.append([generation_recorded("later")])
        assert store.stored_generations([key_of("later")]) == {key_of("later")}
    assert state(path)[0] == SCHEMA_VERSION


@pytest.mark.parametrize("name", [f"schema-{number}" for number in range(2, 7)])
@pytest.mark.parametrize(
    "deleted",
    [
        "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
        "DELETE FROM events WHERE chain = 2; DELETE FROM chains WHERE id = 2",
        "DELETE FROM chains WHERE id = 0",
    ],
)
def test_what_is_missing_from_the_log_of_an_older_store_is_told_when_it_was_brought_up_to_date(
    tmp_path: Path, name: str, deleted: str
) -> None:
    path = old_store(tmp_path, name)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(deleted)
    for _ in range(2):
        with closing(BACKEND.open(tmp_path)) as store:
            assert list(store.check_log())
            store.append([generation_recorded("later")])


@pytest.mark.parametrize("change", [add_index, None], ids=["with a change", "tables alone"])
@pytest.mark.parametrize("rebuild", [True, False])
def test_opening_an_older_store_to_write_brings_it_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, change: Any, *, rebuild: bool
) -> None:
    path = old_store(tmp_path)
    with closing(sqlite3.connect(path)) as connection:  # only making the tables anew mends this
        connection.execute("UPDATE trials SET outcome = 'empty'")
        connection.execute("DROP VIEW v_trials")
        connection.commit()
    use_next_version(monkeypatch, Migration(NEXT, change, rebuild))
    for _ in range(2):
        with closing(BACKEND.open(tmp_path)) as store:
            assert (lines(store) == expected()) is rebuild
            assert (list(store.verify()) == []) is rebuild
    assert state(path) == (NEXT, change is not None)
    assert caplog.messages == [f"the store {path} is brought from schema {SCHEMA_VERSION} to {NEXT}"]
    with closing(sqlite3.connect(path)) as connection:
        views = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
    assert ("v_trials" in views) is rebuild


def test_opening_an_older_store_to_read_says_how_to_bring_it_up_to_date_and_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_store(tmp_path)
    before = path.read_bytes()
    use_next_version(monkeypatch, Migration(NEXT))
    with pytest.raises(StoreOutdated, match=f"schema {SCHEMA_VERSION}, this one has {NEXT}.*themis storage migrate"):
        BACKEND.open(tmp_path, mode="read")
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in (FIXTURES / "schema-1").iterdir()}


@pytest.mark.parametrize("name", ["schema-5", "schema-9"])
@pytest.mark.parametrize("added", ["TABLE Lookups (mine)", "VIEW generations_lookups AS SELECT 1 AS mine"])
def test_what_somebody_added_by_a_name_that_is_needed_now_is_kept_and_named(
    tmp_path: Path, name: str, added: str
) -> None:
    path = old_store(tmp_path, name)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE {added}")
    kind, named, *_ = added.split()
    with pytest.raises(StorageError, match=f"a {kind.lower()} {named} that somebody added.*rename it, then"):
        BACKEND.open(tmp_path)
    assert state(path)[0] == int(name.removeprefix("schema-"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"SELECT mine FROM {named}")
        connection.execute(f"DROP {kind} {named}")
    BACKEND.open(tmp_path).close()
    assert state(path)[0] == SCHEMA_VERSION


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(database: Database) -> None:
        add_index(database)
        database.run("DROP TABLE trials")
        database.run("SELECT * FROM nowhere")

    path = old_store(tmp_path)
    with monkeypatch.context() as later:
        use_next_version(later, Migration(NEXT, fail))
        with pytest.raises(StorageError, match="nowhere"):
            BACKEND.open(tmp_path)
    assert state(path) == (SCHEMA_VERSION, False)
    with closing(BACKEND.open(tmp_path)) as store:
        assert lines(store) == expected()


def test_a_program_that_has_the_store_open_writes_no_more_once_a_newer_one_has_changed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(tmp_path)
    with closing(BACKEND.open(tmp_path)) as store:
        with monkeypatch.context() as later:
            use_next_version(later, Migration(NEXT, add_index))
            BACKEND.open(tmp_path).close()
        with pytest.raises(StorageError, match=f"to schema {NEXT} meanwhile: update this one"):
            store.append([generation_recorded("late")])
        assert store.stored_generations([key_of("late")]) == set()


def test_of_two_that_find_an_older_store_one_changes_it_and_both_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(tmp_path)
    opened: list[Store] = []

    def meanwhile(database: themis_sql.migrations.VersionedDatabase, location: str) -> None:
        monkeypatch.setattr("themis_plugin_sqlite.store.bring_up_to_date", themis_sql.migrations.bring_up_to_date)
        opened.append(BACKEND.open(tmp_path))  # between the other's look at the version and its transaction
        themis_sql.migrations.bring_up_to_date(database, location)

    use_next_version(monkeypatch, Migration(NEXT, add_index))
    monkeypatch.setattr("themis_plugin_sqlite.store.bring_up_to_date", meanwhile)
    opened.append(BACKEND.open(tmp_path))
    for number, store in enumerate(opened):
        store.append([generation_recorded(f"after {number}")])
        assert lines(store) == expected()
        store.close()


KILLED = """
import os, signal, sys
from pathlib import Path
import themis_plugin_sqlite.database as database, themis_sql.migrations as migrations
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

left = int(sys.argv[2])

class Killed(database.SqliteDatabase):
    def _step(self, do, *given):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return do(*given)
    def run(self, *given):
        return self._step(super().run, *given)
    def write(self, *given):
        return self._step(super().write, *given)

migrations.SCHEMA_VERSION = database.SCHEMA_VERSION = int(sys.argv[3])
change = lambda database: database.run("CREATE INDEX events_at ON events (at)")
migrations.MIGRATIONS = (*migrations.MIGRATIONS, migrations.Migration(int(sys.argv[3]), change))
import themis_plugin_sqlite.store as store
store.SqliteDatabase = Killed
SqliteBlobStorageSpec(root_dir=".").open(Path(sys.argv[1])).close()
print(int(sys.argv[2]) - left)
"""


def migrate_in_a_process(folder: Path, statements: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED, str(folder), str(statements), str(NEXT)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_migration_that_is_killed_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    whole = migrate_in_a_process(old_store(tmp_path / "whole").parent, 1_000_000)
    statements = int(whole.stdout)
    assert state(tmp_path / "whole" / "themis.sqlite3") == (NEXT, True)
    for number in sorted({0, 1, 2, statements // 4, statements // 2, statements - 2, statements - 1}):
        path = old_store(tmp_path / str(number))
        killed = migrate_in_a_process(path.parent, number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert state(path) == (SCHEMA_VERSION, False)
        with closing(BACKEND.open(path.parent)) as store:
            assert lines(store) == expected()
            assert list(store.verify()) == []
