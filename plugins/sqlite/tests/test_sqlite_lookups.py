"""Rows by lookup bits: sorted in or only noted, by this connection or another, all are found."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

import pytest

from themis_core import StorageError, Store
from themis_core.testing.events import generation_recorded, item_recorded, key_of, score_entry, trial_finished
from themis_plugin_sqlite import lookups
from themis_plugin_sqlite.lookups import FOUND_TABLES, LOOKUP_TABLES
from themis_plugin_sqlite.store import SqliteStore, open_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """A store that sorts in ten rows of a table."""
    monkeypatch.setattr(lookups, "_MOST", 10)
    with closing(open_store(tmp_path / "store", mode="write")) as store:
        yield store


def fill(store: Store, *names: str) -> None:
    for name in names:
        store.append(
            [
                item_recorded(name),
                generation_recorded(name, text=f"question {name}"),
                trial_finished(name, scores=(score_entry(name),)),
            ]
        )


def assert_found(store: Store, *names: str) -> None:
    keys = [key_of(name) for name in names]
    assert set(store.generations(keys)) == set(keys)
    assert store.stored_generations(keys) == set(keys)
    trials = {name: (event.slice_id, event.trial_id) for name in names for event in [trial_finished(name)]}
    assert store.finished_trials("run", sorted(trials.values())) == set(trials.values())
    for name, (slice_id, trial_id) in trials.items():
        assert [row.item_id for row in store.trial_rows("run", trial_id)] == [name]
        (entry,) = store.score_entries("run", slice_id, trial_id)
        assert store.scores([entry.key]).keys() == {entry.key}
    digests = [item_recorded(name).item.digest for name in names]
    assert set(store.items(digests)) == set(digests)


def stored(store: SqliteStore, table: str) -> int:
    return int(store._database.row(f"SELECT count(*) FROM {table}")[0])


def sorted_in(store: SqliteStore) -> dict[str, int]:
    return {table: stored(store, f"{table}_lookups") for table in FOUND_TABLES}


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last)]


def test_rows_are_found_before_and_after_they_are_sorted_in_and_stored_once(store: SqliteStore) -> None:
    fill(store, *numbers(0, 5))
    assert set(sorted_in(store).values()) == {0}
    assert_found(store, *numbers(0, 5))
    fill(store, *numbers(5, 33))
    assert min(sorted_in(store).values()) >= 10
    assert_found(store, *numbers(0, 33))
    fill(store, *numbers(0, 33))
    assert [stored(store, table) for table in ("items", "generations", "trials", "scores")] == [33] * 4
    assert list(store.verify()) == []


def test_two_who_write_at_once_find_what_the_other_wrote_and_sorted_in(store: SqliteStore, tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "store", mode="write")) as other, \
         closing(open_store(tmp_path / "store", mode="read")) as reader:  # fmt: skip
        for first in range(0, 40, 4):
            fill(store, *numbers(first, first + 4))
            assert_found(reader, *numbers(0, first + 4))
            fill(other, *numbers(first + 2, first + 6))
            assert_found(reader, *numbers(0, first + 6))
        assert_found(store, *numbers(0, 42))
        assert_found(other, *numbers(0, 42))
        noted = [other._database.row(f"SELECT count(*) FROM recent.{table}_new")[0] for table in FOUND_TABLES]
        assert max(noted) < 42
    assert [stored(store, table) for table in ("items", "generations", "trials", "scores")] == [42] * 4
    assert list(store.verify()) == []


def test_what_is_rolled_back_is_neither_noted_nor_sorted_in(store: SqliteStore) -> None:
    fill(store, *numbers(0, 9))
    append = store._database.write

    def full(sql: str, rows: list[tuple[object, ...]]) -> None:
        if "score_links" in sql:
            raise sqlite3.OperationalError("database or disk is full")
        append(sql, rows)

    before = sorted_in(store)
    for batch in (numbers(9, 12), numbers(30, 50)):
        store._database.write = full  # type: ignore[method-assign]
        with pytest.raises(StorageError, match="full"):
            fill(store, *batch)
        store._database.write = append  # type: ignore[method-assign]
        assert sorted_in(store) == before
        assert store.stored_generations([key_of(name) for name in batch]) == set()
    fill(store, *numbers(9, 50))
    assert_found(store, *numbers(0, 50))
    assert list(store.verify()) == []


def test_a_store_that_is_closed_leaves_little_to_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_FEW", 10)
    for first, expected in ((0, 0), (4, 8), (8, 8), (12, 16)):
        with closing(open_store(tmp_path, mode="write")) as store:
            fill(store, *numbers(first, first + 4))
        with closing(open_store(tmp_path, mode="read")) as reader:
            assert sorted_in(reader)["trials"] == expected
            assert_found(reader, *numbers(0, first + 4))


def test_what_a_killed_process_left_unsorted_is_found_and_sorted_in_by_the_next(
    store: SqliteStore, tmp_path: Path
) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from themis_core.testing.events import generation_recorded\n"
        "from themis_plugin_sqlite.store import open_store\n"
        "store = open_store(Path(sys.argv[1]), mode='write')\n"
        "store.append([generation_recorded(str(n)) for n in range(40)])\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "store")], check=True)
    keys = [key_of(name) for name in numbers(0, 41)]
    assert store.stored_generations(keys) == set(keys[:40])
    assert sorted_in(store)["generations"] == 0
    store.append([generation_recorded("40")])
    assert sorted_in(store)["generations"] == 40
    assert store.stored_generations(keys) == set(keys)
    assert stored(store, "generations") == 41


def test_a_reader_finds_all_after_another_made_the_tables_again(store: SqliteStore, tmp_path: Path) -> None:
    fill(store, *numbers(0, 5))
    with closing(open_store(tmp_path / "store", mode="read")) as reader:
        assert_found(reader, *numbers(0, 5))
        store.rebuild()
        assert set(sorted_in(store).values()) == {5}
        assert_found(reader, *numbers(0, 5))
        fill(store, *numbers(5, 7))
        assert_found(reader, *numbers(0, 7))
    store._sqlite.restore_definitions()
    store.rebuild()
    assert list(store.verify()) == []


def test_what_was_noted_of_tables_that_a_rebuild_made_smaller_is_noted_again(tmp_path: Path) -> None:
    def opened(mode: Literal["write", "read"]) -> closing[SqliteStore]:
        return closing(open_store(tmp_path, mode=mode))

    with opened("write") as store, opened("write") as other, opened("read") as reader:
        fill(store, *numbers(0, 9))
        assert_found(other, *numbers(0, 9))
        assert_found(reader, *numbers(0, 9))
        store._database.run("UPDATE events SET body = x'00' WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT 5)")
        assert store.rebuild(accept_loss=True)
        fill(store, *numbers(20, 27))  # so that the tables are longer than before
        for each in (store, other, reader):
            assert_found(each, *numbers(5, 9), *numbers(20, 27))
        fill(other, *numbers(20, 27))
        assert [stored(store, table) for table in ("items", "generations", "trials", "scores")] == [11] * 4


@pytest.mark.parametrize("left", [0, 5])
def test_rows_by_the_ids_of_some_that_somebody_deleted_are_found(store: SqliteStore, left: int) -> None:
    fill(store, *numbers(0, 30))
    assert min(sorted_in(store).values()) > left
    store._database.run("DELETE FROM generations WHERE id > ?", (left,))
    assert len(store.stored_generations([key_of(name) for name in numbers(0, 30)])) == left
    for _ in range(2):
        store.append([generation_recorded(name) for name in numbers(50, 55)])
        assert len(store.stored_generations([key_of(name) for name in numbers(50, 55)])) == 5
        assert stored(store, "generations") == left + 5


def test_nobody_waits_for_others_to_leave_little_to_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_FEW", 1)
    with closing(open_store(tmp_path, mode="write", busy_timeout_s=30.0)) as store:
        fill(store, *numbers(0, 4))
        with closing(sqlite3.connect(tmp_path / "themis.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            store.close()
            assert time.monotonic() - begun < 15.0
    with closing(open_store(tmp_path, mode="read")) as reader:
        assert set(sorted_in(reader).values()) == {0}
        assert_found(reader, *numbers(0, 4))


def test_a_connection_whose_commit_failed_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_FEW", 1)
    with closing(open_store(tmp_path, mode="write")) as store:
        fill(store, *numbers(0, 4))
        store._database.connect()  # as after such a commit
        assert set(sorted_in(store).values()) == {0}
        assert_found(store, *numbers(0, 4))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_store_is_closed_whatever_keeps_it_from_leaving_little_to_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(found: object) -> bool:
        raise error

    store = open_store(tmp_path, mode="write")
    monkeypatch.setattr(lookups.Lookups, "has_unsorted", fail)
    with suppress(KeyboardInterrupt):
        store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store._database.row("SELECT 1")


@pytest.mark.parametrize("table", FOUND_TABLES)
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM {}_lookups WHERE id = 3",
        "UPDATE {}_lookups SET lookup = lookup + 1 WHERE id = 3",
        "INSERT INTO {}_lookups VALUES (7, 3)",
        "UPDATE lookups SET through = through - 1 WHERE name = '{}'",
        "UPDATE lookups SET through = through + 9 WHERE name = '{}'",
    ],
)
def test_a_row_that_would_not_be_found_is_told_and_found_after_a_rebuild(
    store: SqliteStore, tmp_path: Path, table: str, damage: str
) -> None:
    fill(store, *numbers(0, 30))
    assert list(store.verify()) == []
    store._database.run(damage.format(table))
    if table == "payloads" and "- 1" in damage and not list(store.verify()):
        return  # the last of them was of a text that nobody looks for
    assert {each.place for each in store.verify()} == {f"{table}_lookups"}
    store.rebuild()
    assert list(store.verify()) == []
    assert_found(store, *numbers(0, 30))


def test_only_the_tables_that_are_made_from_others_are_named_so() -> None:
    assert set(LOOKUP_TABLES) == {"lookups", *(f"{table}_lookups" for table in FOUND_TABLES)}
