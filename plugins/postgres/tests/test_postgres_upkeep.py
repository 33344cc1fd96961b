"""What keeps a store in order: checking it, removing files without owner, bringing it to a newer schema."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from themis_core import StorageError
from themis_core.testing.append_rules import snapshot
from themis_core.testing.events import generation_recorded, key_of, run_started, score_entry, trial_finished
from themis_plugin_postgres import creation, database
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.store import PostgresStore
from themis_sql import SCHEMA_VERSION, migrations
from themis_sql.database import Database
from themis_sql.migrations import Migration


@pytest.fixture
def backend(url: str, schema_name: str) -> PostgresBlobStorageSpec:
    return PostgresBlobStorageSpec(schema_name=schema_name, inline_limit_bytes=1_024)


def filled(backend: PostgresBlobStorageSpec, folder: Path) -> PostgresStore:
    store = backend.open(folder)
    assert isinstance(store, PostgresStore)
    names = [str(number) for number in range(30)]
    store.append([run_started(), *(generation_recorded(name, text=name) for name in names)])
    store.append([trial_finished(name, scores=(score_entry(name),)) for name in names])
    long = generation_recorded("long")
    store.append([replace(long, generation=replace(long.generation, text="long" * 1_000))])
    return store


def contents(store: PostgresStore) -> dict[str, list[Any]]:
    names = store._database.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {name: sorted(store._database.rows(f"SELECT * FROM {name}"), key=repr) for (name,) in list(names)}


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_whole_store_verifies_and_is_left_as_it_was(
    backend: PostgresBlobStorageSpec, tmp_path: Path, mode: Any
) -> None:
    store = filled(backend, tmp_path)
    before = contents(store)
    store.close()
    opened = backend.open(tmp_path, mode=mode)
    assert isinstance(opened, PostgresStore)
    assert list(opened.verify()) == []
    assert contents(opened) == before
    opened.close()


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("UPDATE events SET body = 'x' WHERE seq = 1", "events 1"),
        ("DELETE FROM events WHERE seq = 1", "events 2"),
        ("UPDATE payloads SET text = 'changed' WHERE id = 1000002", "payloads 1000002"),
        ("UPDATE trials SET outcome = 'empty' WHERE id = 2000007", "trials 2000007"),
        ("DELETE FROM scores WHERE id = 2000008", "scores 2000008"),
        ("DELETE FROM score_links WHERE trial = 2000009", "score_links 2000009/0"),
        ("INSERT INTO runs VALUES (9, 'other')", "runs 9"),
    ],
)
def test_what_was_changed_is_found(backend: PostgresBlobStorageSpec, tmp_path: Path, sql: str, place: str) -> None:
    store = filled(backend, tmp_path)
    store._database.run(sql)
    assert [each.place for each in store.verify()][:1] == [place]
    store.close()


def test_a_blob_file_without_owner_is_removed_and_those_of_other_stores_stay(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    store = filled(backend, tmp_path)
    other = filled(backend.model_copy(update={"schema_name": f"{backend.schema_name}_2"}), tmp_path)
    blobs = tmp_path / ".themis" / "blobs"
    owned = sorted(blobs.rglob("*.zst"))
    assert len(owned) == 2
    orphan = owned[0].parent.parent / "ab" / f"{key_of('orphan')}.zst"
    mine = next(path for path in owned if store._blobs.folder in path.parents)
    orphan = mine.parent / f"{mine.parent.name}{key_of('orphan')[2:]}.zst"
    orphan.write_bytes(b"left by a crash")
    os.utime(orphan, (0, 0))
    assert [each.path for each in store.remove_unused_files(older_than_s=60, dry_run=True)] == [str(orphan)]
    assert [each.path for each in store.remove_unused_files(older_than_s=60, dry_run=False)] == [str(orphan)]
    assert sorted(blobs.rglob("*.zst")) == owned
    for each in (store, other):
        assert len(each.generations([key_of("long")])) == 1
        each.close()


def test_a_copy_is_left_to_the_tools_of_the_database(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    store = filled(backend, tmp_path)
    with pytest.raises(StorageError, match=f"run pg_dump --schema={backend.schema_name}, and then copy the folder"):
        store.back_up(tmp_path / "copy")
    store.close()


NEXT = SCHEMA_VERSION + 1


def upgrade(monkeypatch: pytest.MonkeyPatch, *steps: Migration) -> None:
    """Make this program one of the next schema."""
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", NEXT)
    monkeypatch.setattr(creation, "SCHEMA_VERSION", NEXT)
    # Its rows are those of this schema, which has a column less.
    monkeypatch.setattr(database.PostgresDatabase, "read_back", lambda _: None)


def add_column(database: Database) -> None:
    database.run("ALTER TABLE payloads ADD COLUMN note text")


def test_an_older_store_is_brought_up_to_date_by_whoever_opens_it_to_write(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(backend, tmp_path)
    before = contents(store)
    upgrade(monkeypatch, Migration(NEXT, add_column))
    with pytest.raises(
        StorageError, match=rf"made by an older Themis \(schema {SCHEMA_VERSION}, this one has {NEXT}\)"
    ):
        backend.open(tmp_path, mode="read")
    newer = backend.open(tmp_path)
    assert isinstance(newer, PostgresStore)
    after = contents(newer)
    assert [row[0] for row in after.pop("store_info")] == [NEXT]
    assert after.pop("payloads") == [(*row, None) for row in before.pop("payloads")]
    assert after == {name: rows for name, rows in before.items() if name != "store_info"}
    assert list(newer._database.rows("SELECT DISTINCT run_id FROM v_trials")) == [("run",)]
    with pytest.raises(StorageError, match=f"a newer Themis has brought .* to schema {NEXT} meanwhile"):
        store.append([generation_recorded("new")])
    newer.append([generation_recorded("new")])
    for each in (store, newer):
        each.close()


def test_the_rows_of_a_store_of_the_first_version_are_put_into_chains(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    store = filled(backend, tmp_path)
    before = snapshot(store)
    with store._database.transaction():
        store._database.run("DROP TABLE batches")
        store._database.run("DROP TABLE chains")
        for column in ("chain", "previous", "digest"):
            store._database.run(f"ALTER TABLE events DROP COLUMN {column}")
        store._database.run("UPDATE store_info SET version = 1")
    store.close()
    newer = backend.open(tmp_path)
    newer.append([generation_recorded("new")])
    assert list(newer.verify()) == []
    newer.close()
    assert isinstance(newer, PostgresStore)
    with_chains = backend.open(tmp_path, mode="read")
    assert snapshot(with_chains)["events"][:-1] == before["events"]
    with_chains.close()


class Cut(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("cut_at", range(1, 12))
def test_a_migration_that_is_cut_off_leaves_the_store_as_it_was(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_at: int
) -> None:
    store = filled(backend, tmp_path)
    before = contents(store)
    upgrade(monkeypatch, Migration(NEXT, add_column))
    steps = 0

    class CutOff(database.PostgresDatabase):
        def _count(self) -> None:
            nonlocal steps
            steps += 1
            if self._writing and steps >= cut_at:
                assert self._main is not None
                self._main.close()
                raise Cut

        def write(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
            super().write(sql, rows)
            self._count()

        def run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
            if sql == "COMMIT":
                self._count()
            super().run(sql, values)
            if sql not in ("COMMIT", "ROLLBACK"):
                self._count()

    with monkeypatch.context() as patch:
        patch.setattr(database, "PostgresDatabase", CutOff)
        with pytest.raises(Cut):
            backend.open(tmp_path)
    assert contents(store) == before
    store.close()
    newer = backend.open(tmp_path)
    assert isinstance(newer, PostgresStore)
    assert list(newer.verify()) == []
    newer.close()


MENDED = {
    "a view is dropped": ("view v_trials", ["DROP VIEW v_trials"]),
    "all views are dropped": ("view v_runs", [f"DROP VIEW v_{each}" for each in ("runs", "trials", "scores")]),
    "a view shows something else": (
        "view v_runs",
        ["DROP VIEW v_runs", "CREATE VIEW v_runs AS SELECT run_id, 'completed' AS status FROM runs"],
    ),
    "a table took the place of a view": (
        "view v_scores",
        ["DROP VIEW v_scores", "CREATE TABLE v_scores (value integer)"],
    ),
    "a table is dropped, and its views": ("table trials", ["DROP TABLE trials CASCADE"]),
    "two tables are dropped": ("table scores", ["DROP TABLE scores CASCADE", "DROP TABLE score_links CASCADE"]),
    "a table has another column": ("table trials", ["ALTER TABLE trials ADD COLUMN note text"]),
    "a column has another name": ("table items", ["ALTER TABLE items RENAME COLUMN item_id TO name"]),
    "a column has another type": (
        "table score_links",
        ["DROP VIEW v_scores", "ALTER TABLE score_links ALTER COLUMN position TYPE text"],
    ),
    "a column may be empty": ("table runs", ["ALTER TABLE runs ALTER COLUMN run_id DROP NOT NULL"]),
    "an index is dropped": ("index ix_trials_lookup", ["DROP INDEX ix_trials_lookup"]),
    "an index is over something else": (
        "index ix_scores_lookup",
        ["DROP INDEX ix_scores_lookup", "CREATE INDEX ix_scores_lookup ON scores (value)"],
    ),
    "the index of the texts is dropped": ("index payloads_shared", ["DROP INDEX payloads_shared"]),
    "a trigger changes scores": (
        "trigger better",
        [
            "CREATE FUNCTION better() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.value := 1; RETURN NEW; END $$",
            "CREATE TRIGGER better BEFORE INSERT ON scores FOR EACH ROW EXECUTE FUNCTION better()",
        ],
    ),
    "a rule drops events": ("rule fewer", ["CREATE RULE fewer AS ON INSERT TO events DO INSTEAD NOTHING"]),
}


@pytest.mark.parametrize("damage", MENDED)
def test_what_is_defined_otherwise_is_told_and_made_again_by_rebuild(
    backend: PostgresBlobStorageSpec, tmp_path: Path, damage: str
) -> None:
    store = filled(backend, tmp_path)
    before = snapshot(store)
    place, statements = MENDED[damage]
    with store._database.transaction():
        for statement in statements:
            store._database.run(statement)
    assert place in {each.place for each in store.verify()}
    store.rebuild()
    assert list(store.verify()) == []
    assert snapshot(store) == before
    store.append([generation_recorded("after")])
    assert list(store.verify()) == []
    store.close()


@pytest.mark.parametrize("table", ["events", "payloads", "chains"])
def test_what_the_log_lacks_is_never_made_again(backend: PostgresBlobStorageSpec, tmp_path: Path, table: str) -> None:
    store = filled(backend, tmp_path)
    with store._database.transaction():
        store._database.run(f"DROP TABLE {table} CASCADE")
    assert f"table {table}" in {each.place for each in store.verify()}
    with pytest.raises(StorageError, match=table):
        store.rebuild()
    store.close()


def test_tables_views_and_indices_that_a_user_adds_are_left_alone(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    store = filled(backend, tmp_path)
    with store._database.transaction():
        for statement in (
            "CREATE TABLE notes (body text)",
            "CREATE INDEX notes_body ON notes (body)",
            "CREATE VIEW mine AS SELECT * FROM v_runs",
            "CREATE INDEX faster ON generations (status)",
        ):
            store._database.run(statement)
    assert list(store.verify()) == []
    store.rebuild()
    assert list(store.verify()) == []
    assert list(store._database.rows("SELECT count(*) FROM mine"))
    with store._database.transaction():
        store._database.run("ALTER TABLE trials ADD COLUMN note text")
    with pytest.raises(StorageError, match="mine"):  # it can't be made again without what a user built on it
        store.rebuild()
    store.close()
