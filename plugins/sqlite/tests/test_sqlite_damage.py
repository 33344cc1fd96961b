"""What is wrong with a store's definitions and files: told, mended where it is derived, and never passed over."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from themis_core import Generation, StorageError, Store
from themis_core.testing.append_rules import snapshot
from themis_core.testing.events import generation_recorded, key_of, run_started, score_entry, trial_finished
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_plugin_sqlite.store import SqliteStore

BACKEND = SqliteBlobStorageSpec(root_dir="store", inline_limit_bytes=1_024)
LONG = "long\0" * 1_000


def fill(store: Store, first: int = 0, count: int = 50) -> None:
    store.append([run_started()])
    for number in range(first, first + count):
        name = str(number)
        trial = trial_finished(name, scores=(score_entry(name),))
        store.append([generation_recorded(name, Generation("answered", f"A: {number}")), trial])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(BACKEND.open(tmp_path)) as store:
        fill(store)
        store.append([generation_recorded("long", Generation("answered", LONG))])
        yield store


def execute(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "store" / "themis.sqlite3")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


MENDED = {
    "a view is dropped": ("view v_trials", ["DROP VIEW v_trials"]),
    "all views are dropped": ("view v_runs", [f"DROP VIEW v_{each}" for each in ("runs", "trials", "scores")]),
    "a view shows something else": (
        "view v_runs",
        ["DROP VIEW v_runs", "CREATE VIEW v_runs AS SELECT run_id, 'completed' AS status FROM runs"],
    ),
    "a table took the place of a view": ("view v_scores", ["DROP VIEW v_scores", "CREATE TABLE v_scores (value)"]),
    "a table is dropped": ("table trials", ["DROP TABLE trials"]),
    "two tables are dropped": ("table scores", ["DROP TABLE scores", "DROP TABLE score_links"]),
    "a table has another column": ("table trials", ["ALTER TABLE trials ADD COLUMN note TEXT"]),
    "a column has another name": ("table items", ["ALTER TABLE items RENAME COLUMN item_id TO name"]),
    "a table is another one": ("table scorers", ["DROP TABLE scorers", "CREATE TABLE scorers (id, score)"]),
    "an index is dropped": ("index trials_arm_item", ["DROP INDEX trials_arm_item"]),
    "an index is over something else": (
        "index trials_arm_item",
        ["DROP INDEX trials_arm_item", "CREATE INDEX trials_arm_item ON trials (outcome)"],
    ),
    "what finds the texts is dropped": ("table payloads_lookups", ["DROP TABLE payloads_lookups"]),
    "what says how far it goes is dropped": ("table lookups", ["DROP TABLE lookups"]),
    "a trigger changes scores": (
        "trigger better",
        ["CREATE TRIGGER better AFTER INSERT ON scores BEGIN UPDATE scores SET value = 1 WHERE id = new.id; END"],
    ),
    "a trigger drops events": (
        "trigger fewer",
        ["CREATE TRIGGER fewer BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END"],
    ),
}


@pytest.mark.parametrize("damage", MENDED)
def test_what_is_defined_otherwise_is_told_and_made_again_by_rebuild(store: Store, tmp_path: Path, damage: str) -> None:
    before = snapshot(store)
    place, statements = MENDED[damage]
    execute(tmp_path, *statements)
    assert place in {each.place for each in store.verify()}
    store.rebuild()
    assert list(store.verify()) == []
    assert snapshot(store) == before
    store.append([generation_recorded("after")])
    assert list(store.verify()) == []


@pytest.mark.parametrize("table", ["events", "payloads", "chains"])
def test_what_the_log_lacks_is_never_made_again(store: Store, tmp_path: Path, table: str) -> None:
    execute(tmp_path, f"DROP TABLE {table}")
    assert f"table {table}" in {each.place for each in store.verify()}
    with pytest.raises(StorageError, match=table):
        store.rebuild()


def test_tables_views_and_indices_that_a_user_adds_are_left_alone(store: Store, tmp_path: Path) -> None:
    execute(
        tmp_path,
        "CREATE TABLE notes (text)",
        "CREATE INDEX notes_text ON notes (text)",
        "CREATE VIEW mine AS SELECT * FROM v_runs",
        "CREATE INDEX faster ON generations (status)",
        "ANALYZE",
    )
    assert list(store.verify()) == []
    store.rebuild()
    assert list(store.verify()) == []
    execute(tmp_path, "SELECT * FROM notes", "SELECT * FROM mine")


SHOWN = {
    "the beginning of a long text": "UPDATE payloads SET text = 'x' WHERE external = 1",
    "where a text is": "UPDATE payloads SET external = 2 WHERE external = 1",
    "by what a text is found": "UPDATE payloads SET lookup = lookup + 1 WHERE lookup IS NOT NULL",
    "a number that became text": "UPDATE scores SET value = '1.0x' WHERE id = 1",
    "the sign of zero": "UPDATE generations SET cost = -0.0 WHERE id = 1",
    "a reason": "UPDATE scores SET reason = 'x' WHERE id = 1",
    "bytes in place of text": "UPDATE trials SET outcome = CAST(outcome AS BLOB) WHERE id = 1",
}


@pytest.mark.parametrize("change", SHOWN)
def test_verify_compares_what_sql_shows(store: Store, tmp_path: Path, change: str) -> None:
    store.append([generation_recorded("0", Generation("answered", cost=0.0))])
    assert list(store.verify()) == []
    execute(tmp_path, SHOWN[change])
    assert list(store.verify()) != []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ENOMEM])
def test_a_check_that_can_not_be_made_is_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(path: Path) -> bytes:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StorageError, match=r"^could not check the store: the blob file"):
        list(store.verify())


@pytest.mark.parametrize("code", ["FULL", "IOERR", "READONLY", "CANTOPEN", "BUSY", "NOMEM", "PERM"])
def test_a_database_that_can_not_be_looked_at_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def refuse(self: Any) -> None:
        error = sqlite3.OperationalError("refused")
        error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
        raise error

    monkeypatch.setattr("themis_plugin_sqlite.database.SqliteDatabase.scratch", refuse)
    with pytest.raises(StorageError, match=r"^could not check the store: .*\(refused\)"):
        list(store.verify())


def wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def replace_by_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def replace_by_an_older_one(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("older"))) as older, closing(sqlite3.connect(path)) as there:
        there.backup(older)
    path.with_name("older").replace(path)


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(os.urandom(size * 2))


GONE: dict[str, Callable[[Path], None]] = {
    "the folder is deleted": lambda path: shutil.rmtree(path.parent),
    "the folder is moved": lambda path: path.parent.rename(path.parent.with_name("moved")) and None,
    "the file is deleted": Path.unlink,
    "the file is replaced by an equal one": replace_by_copy,
    "the file is replaced by a copy": replace_by_an_older_one,
    "the file is cut to nothing": lambda path: cut(path, 0),
    "the file is cut": lambda path: cut(path, path.stat().st_size // 2),
    "the file is cut by a page": lambda path: cut(path, path.stat().st_size - 4_096),
    "the file is overwritten": overwrite,
    "the log is deleted": lambda path: wal(path).unlink(),
    "the log is cut to nothing": lambda path: cut(wal(path), 0),
    "the log is cut": lambda path: cut(wal(path), wal(path).stat().st_size // 2),
    "the log is cut by a byte": lambda path: cut(wal(path), wal(path).stat().st_size - 1),
    "the log is overwritten": lambda path: wal(path).write_bytes(os.urandom(wal(path).stat().st_size)) and None,
    "the shared memory is deleted": lambda path: path.with_name(f"{path.name}-shm").unlink(),
}


@pytest.mark.parametrize("moment", ["between commits", "in a transaction"])
@pytest.mark.parametrize("fault", GONE)
def test_nothing_is_acknowledged_once_the_files_are_not_those_that_were_opened(
    tmp_path: Path, fault: str, moment: str
) -> None:
    path = tmp_path / "store" / "themis.sqlite3"
    store = BACKEND.open(tmp_path)
    assert isinstance(store, SqliteStore)
    fill(store, count=20)
    if moment == "between commits":
        GONE[fault](path)
    else:
        save = store._save

        def save_then_lose(*batch: Any) -> None:
            save(*batch)
            GONE[fault](path)

        store._save = save_then_lose  # type: ignore[method-assign]
    with pytest.raises(StorageError, match=r"store"):
        store.append([generation_recorded("lost")])
    store.close()


def test_what_others_do_to_a_store_is_not_taken_for_a_fault(tmp_path: Path) -> None:
    with closing(BACKEND.open(tmp_path)) as store:
        fill(store)
        for number in range(30):
            with closing(BACKEND.open(tmp_path)) as other:  # which empties the log
                other.append([generation_recorded(f"other {number}")])
            if number % 10 == 0:
                execute(tmp_path, "VACUUM")
                execute(tmp_path, "PRAGMA wal_checkpoint(RESTART)")
            with closing(BACKEND.open(tmp_path, mode="read")) as reader:
                reader.stored_generations([key_of("1")])
            store.append([generation_recorded(f"own {number}")])
        assert list(store.verify()) == []


def test_a_log_that_is_written_anew_from_its_beginning_is_not_taken_for_a_fault(tmp_path: Path) -> None:
    with closing(BACKEND.open(tmp_path)) as store:
        assert isinstance(store, SqliteStore)
        store._database.connection.execute("PRAGMA wal_autocheckpoint = 20")
        fill(store, count=200)
        assert list(store.verify()) == []


def test_a_store_that_was_made_half_leaves_no_file_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Any, name: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fail)
        with pytest.raises(KeyboardInterrupt):
            BACKEND.open(tmp_path)
    assert [each.name for each in (tmp_path / "store").iterdir()] == [".gitignore"]
    BACKEND.open(tmp_path).close()


def test_a_file_system_without_links_holds_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, name: Any) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with closing(BACKEND.open(tmp_path)) as store:
        fill(store, count=2)
    assert {each.name for each in (tmp_path / "store").iterdir()} == {".gitignore", "themis.sqlite3"}
