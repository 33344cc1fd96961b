"""Several writers of one store at once: what each saves is there once, whoever else saves the same at that moment.

In most tests all writers look up what is stored before any of them writes, so that they are sure to meet.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from themis_core import Event, Generation, Score, StorageError
from themis_core.testing.events import (
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)
from themis_plugin_interop.canonical import canonical_lines
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.store import PostgresStore
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_sql import projection
from themis_sql.layout import PROJECTIONS

Open = Callable[[], PostgresStore]
LATER = "2026-01-03T00:00:00.000000+00:00"
FAILED = Generation("failed", error_code="timeout", error="no reply within 60 s")


@pytest.fixture
def backend(url: str, schema_name: str) -> PostgresBlobStorageSpec:
    return PostgresBlobStorageSpec(schema_name=schema_name, inline_limit_bytes=1_024)


@pytest.fixture
def open_store(backend: PostgresBlobStorageSpec, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as opened:

        def open_store() -> PostgresStore:
            store = backend.open(tmp_path)
            assert isinstance(store, PostgresStore)
            opened.callback(store.close)
            return store

        yield open_store


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have this many writers wait for each other when each has looked up what is stored, for the first time."""

    def meeting(writers: int) -> None:
        load = projection.Projection.load
        barrier = threading.Barrier(writers)
        calls = itertools.count()

        def load_and_meet(self: projection.Projection, keys: projection.Keys) -> None:
            load(self, keys)
            if next(calls) < writers:
                barrier.wait(20)

        monkeypatch.setattr(projection.Projection, "load", load_and_meet)

    return meeting


def append_at_once(stores: Sequence[PostgresStore], batches: Sequence[Iterable[Sequence[Event]]]) -> None:
    """Append to each store its batches, all in threads of their own; raise what one of them raised."""

    def append(store: PostgresStore, of_store: Iterable[Sequence[Event]]) -> None:
        for batch in of_store:
            store.append(batch)

    with ThreadPoolExecutor(len(stores)) as pool:
        for each in [pool.submit(append, *each) for each in zip(stores, batches, strict=True)]:
            each.result(60)


def rows(store: PostgresStore) -> dict[str, list[Any]]:
    return {table: sorted(store._database.rows(f"SELECT * FROM {table}"), key=repr) for table in PROJECTIONS}


def check(store: PostgresStore) -> None:
    """Each key is there once, the log is whole, and gives the very rows that the writers made."""
    for table, key in ("generations", "key"), ("scores", "key"), ("items", "(digest, item_id)"):
        assert list(store._database.rows(f"SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1")) == []
    assert list(store._database.rows("SELECT 1 FROM trials GROUP BY arm, trial_id HAVING count(*) > 1")) == []
    assert list(store.verify()) == []
    before = rows(store)
    assert store.rebuild() == []
    assert rows(store) == before


def trials(names: Sequence[str], **more: Any) -> list[Event]:
    return [
        event
        for name in names
        for event in (
            item_recorded(name, text=f"What is {name}?"),
            generation_recorded(name, text=f"What is {name}?"),
            trial_finished(name, scores=(score_entry(name),), **more),
        )
    ]


def test_two_writers_that_append_the_same_at_once_leave_it_there_once(open_store: Open) -> None:
    stores = [open_store(), open_store()]
    stores[0].append([run_started()])
    barrier = threading.Barrier(2)

    def batches() -> Iterator[list[Event]]:
        for number in range(100):
            barrier.wait(20)
            yield trials([f"{number}-{part}" for part in range(3)])

    append_at_once(stores, [batches(), batches()])
    assert stores[0]._database.row("SELECT count(*) FROM trials") == (300,)
    check(stores[0])


def test_of_two_writers_that_met_both_save_all_and_the_tables_are_those_of_one(
    open_store: Open, meeting: Callable[[int], None], tmp_path: Path
) -> None:
    stores = [open_store(), open_store()]
    names = [str(number) for number in range(40)]
    batches = [trials(names[:25]), list(reversed(trials(names[15:])))]
    stores[0].append([run_started()])
    meeting(2)
    append_at_once(stores, [[each] for each in batches])
    quiet = SqliteBlobStorageSpec(root_dir="quiet").open(tmp_path)
    for batch in [[run_started()], *batches]:
        quiet.append(batch)
    assert list(canonical_lines(stores[1], "run")) == list(canonical_lines(quiet, "run"))
    quiet.close()
    check(stores[0])


def test_overlapping_batches_in_opposite_orders_deadlock_nobody(open_store: Open) -> None:
    stores = [open_store() for _ in range(4)]
    stores[0].append([run_started()])
    names = [str(number) for number in range(64)]
    orders = [names, names[::-1], names[32:] + names[:32], names[::2] + names[1::2]]
    batches = [[trials(order[start : start + 16]) for start in range(0, 64, 16)] for order in orders]
    append_at_once(stores, batches)
    assert stores[0]._database.row("SELECT count(*) FROM trials") == (64,)
    check(stores[0])


def test_names_that_eight_writers_make_at_once_have_one_number_each(
    open_store: Open, meeting: Callable[[int], None]
) -> None:
    stores = [open_store() for _ in range(8)]
    long = "n" * 10_000  # more than an index over it would take
    meeting(8)
    own = [
        [
            run_started("a\0run"),
            *trials(
                [f"{number} {part}" for part in range(2)], run_id="a\0run", slice_id=long, params=f"t={number % 2}"
            ),
        ]
        for number in range(8)
    ]
    append_at_once(stores, [[each] for each in own])
    counts = {
        name: stores[0]._database.row(f"SELECT count(*) FROM {name}")[0]
        for name in ("runs", "arms", "scorers", "settings", "trials")
    }
    assert counts == {"runs": 2, "arms": 2, "scorers": 1, "settings": 1, "trials": 16}
    check(stores[0])


def test_a_failed_answer_that_two_writers_replace_is_replaced_once(
    open_store: Open, meeting: Callable[[int], None]
) -> None:
    stores = [open_store(), open_store()]
    failed = trial_finished(outcome="failed", error_code="timeout", generation_keys=(key_of("1"),))
    unscored = trial_finished("2", scores=(score_entry("2", Score(None, "judge_unavailable")),))
    stores[0].append([run_started(), generation_recorded("1", FAILED), failed, generation_recorded("2"), unscored])
    meeting(2)
    answered = [
        [
            generation_recorded("1", Generation("answered", text), at=LATER),
            trial_finished(at=LATER, scores=(score_entry("1"),)),
            trial_finished("2", at=LATER, scores=(score_entry("2", Score(1.0)),)),
        ]
        for text in ("A: 4", "A: 5")
    ]
    append_at_once(stores, [[each] for each in answered])
    kinds = [each["kind"] for each in stores[0].events()]
    assert kinds.count("generation") == 3
    assert kinds.count("trial") == 4
    assert stores[1].scores([key_of("2")])[key_of("2")][0] == Score(1.0)
    check(stores[0])


def test_items_that_all_writers_record_are_there_once(open_store: Open, meeting: Callable[[int], None]) -> None:
    stores = [open_store() for _ in range(4)]
    meeting(4)
    items: list[Event] = [item_recorded(str(number), text="\0 long" * number) for number in range(400)]
    append_at_once(stores, [[items]] * 4)
    assert stores[0]._database.row("SELECT count(*) FROM items") == (400,)
    assert [each["kind"] for each in stores[0].events()] == ["item"] * 400
    check(stores[0])


def test_different_keys_with_the_same_lookup_bits_are_both_kept(
    open_store: Open, meeting: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("projection", "reader"):
        monkeypatch.setattr(f"themis_sql.{module}.lookup_of", lambda packed, salt=0: packed[0] % 2)
    stores = [open_store() for _ in range(3)]
    stores[0].append([run_started()])
    meeting(3)
    append_at_once(stores, [[trials([f"{name} {number}" for number in range(4)])] for name in "abc"])
    names = [f"{name} {number}" for name in "abc" for number in range(4)]
    assert stores[0].stored_generations([key_of(name) for name in names]) == {key_of(name) for name in names}
    assert set(stores[0].scores([key_of(name) for name in names])) == {key_of(name) for name in names}
    run = [("test", key_of(f"trial {name}")) for name in names]
    assert stores[0].finished_trials("run", run) == set(run)
    check(stores[0])


@pytest.mark.parametrize("at", range(1, 7))
def test_a_writer_whose_session_ends_between_its_rows_repeats_and_the_others_go_on(
    open_store: Open, meeting: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    stores = [open_store(), open_store()]
    for number, store in enumerate(stores):  # what begins a chain waits for others that do
        store.append([run_started(at=str(number)), trial_finished(str(number))])
    ended, writes = stores[0]._postgres, 0
    write = ended.write

    def write_and_end(sql: str, values: list[tuple[Any, ...]]) -> None:
        nonlocal writes
        write(sql, values)
        writes += 1
        if writes == at:
            pid = ended._connection().fetch("SELECT pg_backend_pid()")[0][0]
            assert stores[1]._postgres._new_connection().fetch(f"SELECT pg_terminate_backend({pid})") == [(True,)]

    meeting(2)
    names = [str(number) for number in range(20)]
    with monkeypatch.context() as patch:
        patch.setattr(ended, "write", write_and_end)
        append_at_once(stores, [[trials(names)], [trials([*names[:10], *"abcdefghij"])]])
    assert writes >= at
    assert stores[0]._database.row("SELECT count(*) FROM trials") == (30,)
    check(stores[0])


def test_in_a_storm_of_equal_keys_every_batch_is_saved_in_the_end(open_store: Open) -> None:
    stores = [open_store() for _ in range(8)]
    batches = [[run_started(at=str(turn)), *trials([str(turn % 5), f"new {turn}"])] for turn in range(15)]
    append_at_once(stores, [batches] * 8)
    assert stores[0]._database.row("SELECT count(*) FROM trials") == (20,)
    assert stores[0]._database.row("SELECT count(*) FROM executions") == (15,)
    check(stores[0])


def test_a_key_that_stays_in_the_way_is_an_error_that_says_what_to_do(open_store: Open) -> None:
    store = open_store()
    store.append([run_started(), generation_recorded("1")])
    store._database.run("CREATE UNIQUE INDEX mine ON generations (status)")
    with pytest.raises(StorageError, match="a row has the key of another one: run `themis storage verify`"):
        store.append([generation_recorded("2")])
    assert store.stored_generations([key_of("1"), key_of("2")]) == {key_of("1")}
    store._database.run("DROP INDEX mine")
    store.append([generation_recorded("2")])
    check(store)


def test_what_is_seen_has_a_lower_number_in_the_log(open_store: Open) -> None:
    first, second = open_store(), open_store()
    with first._database.transaction():
        early = first._database.take_seq()
        second.append([run_started()])
        assert first._database.row("SELECT count(*) FROM events") == (0,)  # it sees one moment
    with first._database.transaction():
        late = first._database.take_seq()
    (between,) = second._database.row("SELECT seq FROM events")
    assert early < between < late


def test_a_rebuild_waits_for_writers_and_writers_for_it(open_store: Open) -> None:
    stores = [open_store() for _ in range(3)]
    stores[0].append([run_started()])
    batches = [[trials([f"{turn}", f"{number} {turn}"]) for turn in range(30)] for number in range(2)]
    writing = threading.Thread(target=append_at_once, args=(stores[:2], batches))
    writing.start()
    rounds = 0
    while writing.is_alive() or rounds < 2:
        assert stores[2].rebuild() == []
        assert list(stores[2].verify()) == []  # one moment, though others write
        rounds += 1
    writing.join()
    assert stores[0]._database.row("SELECT count(*) FROM trials") == (90,)
    check(stores[0])


def test_a_blob_file_of_a_text_that_is_being_stored_is_not_removed(open_store: Open, tmp_path: Path) -> None:
    writer, later, cleaner = stores = [open_store() for _ in range(3)]
    for number, store in enumerate(stores):
        store.append([generation_recorded(str(number))])
    write = writer._database.write
    written, go_on = threading.Event(), threading.Event()

    def write_and_wait(sql: str, values: list[tuple[Any, ...]]) -> None:
        write(sql, values)
        written.set()
        assert go_on.wait(20)

    record = generation_recorded("long", Generation("answered", "long " * 1_000))
    writer._database.write = write_and_wait  # type: ignore[method-assign]
    writing = threading.Thread(target=writer.append, args=([record],))
    writing.start()
    assert written.wait(20)
    later.append([generation_recorded("later")])  # its texts have higher numbers than those that are being stored
    removing = threading.Thread(target=lambda: list(cleaner.remove_unused_files(older_than_s=0, dry_run=False)))
    removing.start()
    go_on.set()
    for thread in (writing, removing):
        thread.join(20)
        assert not thread.is_alive()
    assert cleaner.generations([key_of("long")])[key_of("long")].text == "long " * 1_000


REMOVED = {
    "the first row of a chain": "DELETE FROM events WHERE seq = (SELECT min(seq) FROM events WHERE chain = 2)",
    "the last row of a chain": "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events WHERE chain = 2)",
    "all rows of a chain": "DELETE FROM events WHERE chain = 2",
    "a chain": "DELETE FROM events WHERE chain = 2; DELETE FROM chains WHERE id = 2",
    "the last chain": "DELETE FROM events WHERE chain = 3; DELETE FROM chains WHERE id = 3",
    "the last chain with its texts": """DELETE FROM payloads p USING events e WHERE e.chain = 3
        AND p.id BETWEEN e.seq * 1000000 AND e.seq * 1000000 + 999999;
        DELETE FROM events WHERE chain = 3; DELETE FROM chains WHERE id = 3""",
    "all": "DELETE FROM events; DELETE FROM chains",
    "the register": "DELETE FROM chains WHERE id = 0",
    "a text": "DELETE FROM payloads WHERE id = (SELECT max(id) FROM payloads)",
}


@pytest.mark.parametrize("removed", REMOVED)
def test_whatever_is_removed_from_the_log_of_several_writers_is_told_and_stays_told(
    open_store: Open, removed: str
) -> None:
    stores = [open_store() for _ in range(3)]
    for number in range(3):
        for writer, store in enumerate(stores):
            store.append(trials([f"{writer} {number}"]))
    assert list(stores[0].check_log()) == []
    stores[1]._database.run(REMOVED[removed])
    assert list(stores[0].check_log())
    stores[0].rebuild(accept_loss=True)
    later = open_store()
    later.append([run_started(), *trials(["later"])])
    assert list(later.check_log())


def test_a_text_that_no_row_refers_to_is_told_also_between_those_of_others(open_store: Open) -> None:
    stores = [open_store(), open_store()]
    for number in range(4):
        stores[number % 2].append(trials([str(number)]))
    stores[0]._database.run(
        "INSERT INTO payloads SELECT 2500000, NULL, digest, text, raw, external FROM payloads LIMIT 1"
    )
    [found] = stores[0].check_log()
    assert (found.place, found.problem) == ("payloads 2500000", "no event refers to it: events are missing")


def test_a_store_whose_tables_alone_were_brought_back_goes_on_above_its_log(open_store: Open) -> None:
    store = open_store()
    for number in range(3):
        store.append(trials([str(number)]))
    store._database.run("DROP SEQUENCE event_numbers")
    again = open_store()
    again.append(trials(["again"]))
    assert again._database.row("SELECT max(seq) > 3 FROM events") == (True,)
    again._database.run("ALTER SEQUENCE event_numbers RESTART")
    third = open_store()
    third.append(trials(["third"]))
    check(third)


def test_a_batch_of_more_rows_than_there_are_ids_is_refused(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_sql.numbering._ROOM", 10)
    store = open_store()
    with pytest.raises(StorageError, match="adds 11 rows to one table: append fewer events at once"):
        store.append(trials([str(number) for number in range(11)])[1::3])
    scores = tuple(replace(score_entry(str(number)), score=f"s{number}") for number in range(11))
    with pytest.raises(StorageError, match="adds 11 rows to one table: append fewer events at once"):
        store.append([trial_finished(scores=scores)])
    store.append([run_started(), run_finished()])
    assert list(store.verify()) == []
