"""Verifying, rebuilding, backing up and cleaning a store of SQLite."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from made_store import LONG, RUNS, fill, lines

from themis_core import Damage, Generation, StorageError, Store
from themis_core.testing.events import generation_recorded, key_of, run_started, trial_finished
from themis_core.testing.memory import MemoryStore
from themis_plugin_interop.canonical import canonical_digest, canonical_lines
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_plugin_storage.merging import merge
from themis_sql.codec import json_bytes, pack_body, unpack_body

BACKEND = SqliteBlobStorageSpec(root_dir="store", inline_limit_bytes=1_024)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that holds everything that the fixtures hold."""
    with closing(BACKEND.open(tmp_path)) as store:
        fill(store)
        yield store


def sql(*statements: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "themis.sqlite3")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return damage


def blob(folder: Path) -> Path:
    return folder / "blobs" / key_of(LONG)[:2] / f"{key_of(LONG)}.zst"


MEND = "; `themis storage rebuild` makes it again"


@pytest.mark.parametrize(
    ("damage", "place", "problem"),
    [
        (sql("UPDATE events SET body = x'00' WHERE seq = 1"), "events 1", "the row does not decode (ZstdError)"),
        (sql("UPDATE events SET count = 2 WHERE seq = 1"), "events 1", "the row holds 3 events where 2 should be"),
        (
            sql("DELETE FROM events WHERE seq = 4"),
            "events 6",
            "it does not follow the row before it in its chain, which was changed or is missing",
        ),
        (
            sql("DELETE FROM payloads WHERE id = (SELECT min(manifest) FROM executions)"),
            "events 1",
            "its text, payloads 1, is missing",
        ),
        (sql("UPDATE payloads SET text = 'x' WHERE id = 2"), "payloads 2", "the text does not match its hash"),
        (
            sql("UPDATE payloads SET text = 'x' WHERE raw IS NOT NULL"),
            r"payloads \d+",
            "what SQL shows is not the text",
        ),
        (sql("UPDATE payloads SET raw = x'ff' WHERE id = 2"), "payloads 2", "the text does not decode"),
        (lambda folder: blob(folder).unlink(), r"payloads \d+", "the blob file .* is missing: .*"),
        (lambda folder: blob(folder).write_bytes(b"x"), r"payloads \d+", "the blob file .* is damaged: .*"),
        (
            sql("UPDATE trials SET outcome = 'empty' WHERE id = 2"),
            "trials 2",
            f"the row is not as the log gives it{MEND}",
        ),
        (sql("DELETE FROM scores WHERE id = 1"), "scores 1", f"the row is missing{MEND}"),
        (sql("DELETE FROM score_links"), "score_links 1/0", f"the row is missing{MEND}"),
        (sql("INSERT INTO runs VALUES (7, 'invented')"), "runs 7", f"the row is not in the log{MEND}"),
        (
            sql("UPDATE generations SET cost = 1.0 WHERE status = 'refused'"),
            r"generations \d",
            f"the row is not .*{MEND}",
        ),
    ],
)
def test_verify_says_where_a_store_is_damaged(
    store: Store, tmp_path: Path, damage: Callable[[Path], None], place: str, problem: str
) -> None:
    assert list(store.verify()) == []
    damage(tmp_path / "store")
    found = list(store.verify())
    pattern = problem if ".*" in problem else re.escape(problem)
    assert any(re.fullmatch(place, each.place) and re.fullmatch(pattern, each.problem) for each in found), found


def change_body(folder: Path) -> None:
    """Change one digit of a recorded event, and pack it again as if it had been written so."""
    with closing(sqlite3.connect(folder / "themis.sqlite3")) as connection:
        seq, encoding, body = connection.execute(
            "SELECT seq, encoding, body FROM events WHERE run_id = ? ORDER BY seq DESC LIMIT 1", ("first",)
        ).fetchone()
        facts = unpack_body(encoding, body)
        facts[0]["at"] = facts[0]["at"].replace("2026", "2027")
        connection.execute(
            "UPDATE events SET encoding = ?, body = ? WHERE seq = ?", (*pack_body(json_bytes(facts)), seq)
        )
        connection.commit()


LAST_OF_FIRST = "(SELECT max(seq) FROM events WHERE run_id = 'first')"
TAMPERED: dict[str, Callable[[Path], None]] = {
    "a body that decodes to something else": change_body,
    "the head of the log": sql("DELETE FROM events WHERE seq = 1"),
    "the middle": sql("DELETE FROM events WHERE seq = 6"),
    "the end of a run": sql(f"DELETE FROM events WHERE seq = {LAST_OF_FIRST}"),
    "the end of the log": sql("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)"),
    "a whole run": sql("DELETE FROM events WHERE run_id = 'first'"),
    "the last run with its chain": sql(
        "DELETE FROM events WHERE run_id LIKE 'json:%'", "DELETE FROM chains WHERE run_id LIKE 'json:%'"
    ),
    "the whole log": sql("DELETE FROM events", "DELETE FROM chains"),
    "the ends of all chains": sql("DELETE FROM chains"),
    "the end of one chain": sql("UPDATE chains SET digest = x'00' WHERE id = 1"),
    "the length of one chain": sql("UPDATE chains SET length = length - 1 WHERE id = 1"),
    "the run of a chain": sql("UPDATE chains SET run_id = 'second' WHERE id = 1"),
    "the run of a row": sql("UPDATE events SET run_id = 'third' WHERE seq = 4"),
    "the time of a row": sql("UPDATE events SET at = '2020' WHERE seq = 4"),
    "the chain of a row": sql("UPDATE events SET chain = 2 WHERE seq = 4"),
    "the digest of a row": sql("UPDATE events SET digest = zeroblob(32) WHERE seq = 4"),
    "the predecessor of a row": sql("UPDATE events SET previous = zeroblob(32) WHERE seq = 4"),
    "the number of a row": sql("UPDATE events SET seq = 100 WHERE seq = 4"),
    "the order of two rows": sql(
        "UPDATE events SET seq = -1 WHERE seq = 4", "UPDATE events SET seq = 4 WHERE seq = 6",
        "UPDATE events SET seq = 6 WHERE seq = -1",
    ),
    "a text, with its hash": sql("UPDATE payloads SET digest = zeroblob(32) WHERE id = 2"),
    "two texts, one for the other": sql(
        "UPDATE payloads SET id = -1 WHERE id = 2", "UPDATE payloads SET id = 2 WHERE id = 3",
        "UPDATE payloads SET id = 3 WHERE id = -1",
    ),
    "a row that nobody wrote": sql(
        "INSERT INTO events SELECT seq + count, 1, run_id, at, chain, digest, digest, 0, CAST('[]' AS BLOB)"
        " FROM events ORDER BY seq DESC LIMIT 1"
    ),
}  # fmt: skip


@pytest.mark.parametrize("tampered", TAMPERED)
def test_a_damaged_log_is_told_and_never_made_into_tables_or_merged(
    store: Store, tmp_path: Path, tampered: str
) -> None:
    TAMPERED[tampered](tmp_path / "store")
    before = list(store.verify())
    assert before
    with pytest.raises(StorageError, match=r"the log is damaged \(.*--accept-loss"):
        store.rebuild()
    assert list(store.verify()) == before
    with pytest.raises(StorageError, match=r"to be merged is damaged \(.*nothing was merged"):
        merge(store, MemoryStore())


@pytest.mark.parametrize("tampered", TAMPERED)
def test_who_accepts_the_loss_is_told_it_and_verify_goes_on_to_tell_it(
    store: Store, tmp_path: Path, tampered: str
) -> None:
    TAMPERED[tampered](tmp_path / "store")
    lost = store.rebuild(accept_loss=True)
    assert lost
    store.append([run_started("later"), generation_recorded("later", run_id="later")])
    assert {each.place for each in lost} <= {each.place for each in store.verify()} | {"chains 0"}
    assert store.stored_generations([key_of("later")]) == {key_of("later")}


def test_verify_names_the_first_event_that_does_not_fit(store: Store, tmp_path: Path) -> None:
    change_body(tmp_path / "store")
    first = next(store.verify())
    with closing(sqlite3.connect(tmp_path / "store" / "themis.sqlite3")) as connection:
        (seq,) = connection.execute(f"SELECT {LAST_OF_FIRST}").fetchone()
    assert first.place == f"events {seq}"
    assert first.problem.startswith("the row does not match its digest")


def test_only_what_is_lost_is_left_out_when_the_loss_is_accepted(store: Store, tmp_path: Path) -> None:
    second = list(canonical_lines(store, RUNS[1]))
    change_body(tmp_path / "store")
    [lost] = store.rebuild(accept_loss=True)
    assert list(canonical_lines(store, RUNS[1])) == second
    assert lost.place in {each.place for each in store.verify()}
    trials = {row.item_id: row.outcome for row in store.trial_rows(RUNS[0])}
    assert trials == {"1": "failed", "2": "answered"}  # the later outcome of 1 was in the row


def test_chains_of_several_writers_and_of_several_openings_fit(tmp_path: Path) -> None:
    stores = [BACKEND.open(tmp_path) for _ in range(3)]
    for number in range(12):
        store = stores[number % 3]
        store.append([run_started(f"run {number % 2}", at=str(number)), generation_recorded(str(number))])
    for store in stores:
        store.close()
    with closing(BACKEND.open(tmp_path)) as store:
        with pytest.raises(ValueError, match="JSON"):
            store.append([generation_recorded("x", Generation("answered", cost=float("nan")))])
        store.append([generation_recorded("y")])
        assert list(store.verify()) == []
        store.rebuild()
        target = MemoryStore()
        assert merge(store, target).runs == 2


@pytest.mark.parametrize("committed", [True, False])
def test_a_writer_goes_on_rightly_after_an_error_that_came_before_or_after_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    with closing(BACKEND.open(tmp_path)) as store:
        database = store._database  # type: ignore[attr-defined]
        store.append([run_started(), generation_recorded("1")])

        def fail(do: Callable[[], None]) -> None:
            with database.transaction():
                do()
                if not committed:
                    raise OSError
            raise OSError

        with monkeypatch.context() as patch:
            patch.setattr(database, "settle", fail)
            with pytest.raises(StorageError):
                store.append([run_started("second"), trial_finished("2", run_id="second"), generation_recorded("2")])
        store.append([generation_recorded("3"), trial_finished("3", run_id="second")])
        assert list(store.verify()) == []
        assert (store.stored_generations([key_of("2")]) == {key_of("2")}) is committed


def test_verify_says_that_a_page_of_the_file_is_damaged(tmp_path: Path) -> None:
    with closing(BACKEND.open(tmp_path)) as store:
        fill(store)
        store.append([generation_recorded(str(number)) for number in range(500)])
    path = tmp_path / "store" / "themis.sqlite3"
    content = bytearray(path.read_bytes())
    content[-20 * 4_096 : -10 * 4_096] = b"\xa5" * (10 * 4_096)
    path.write_bytes(content)
    with closing(BACKEND.open(tmp_path, mode="read")) as store:
        found = list(store.verify())
    assert "database" in {each.place for each in found}


def test_a_table_that_lost_all_its_rows_is_not_listed_row_by_row(tmp_path: Path) -> None:
    with closing(BACKEND.open(tmp_path)) as store:
        store.append([trial_finished(str(number)) for number in range(2_000)])
        sql("DELETE FROM trials")(tmp_path / "store")
        found = list(store.verify())
    assert len(found) == 101
    assert found[-1] == Damage("trials", "more than 100 rows differ from the log: the rest is not listed")


def test_rebuild_mends_what_is_derived_and_leaves_the_rest(store: Store, tmp_path: Path) -> None:
    before = lines(store)
    sql("DELETE FROM trials", "DELETE FROM runs", "UPDATE scores SET value = 7")(tmp_path / "store")
    assert list(store.runs()) == []
    store.rebuild()
    assert list(store.verify()) == []
    assert lines(store) == before


def test_verifying_keeps_nobody_from_writing_and_sees_one_moment(store: Store, tmp_path: Path) -> None:
    checking = store.verify()
    sql("UPDATE payloads SET text = 'x' WHERE id = 1")(tmp_path / "store")
    first = next(checking)  # it has begun
    with closing(BACKEND.open(tmp_path)) as other:
        other.append([generation_recorded("meanwhile"), trial_finished("meanwhile")])
    assert [first, *checking] == [Damage("payloads 1", "the text does not match its hash")]


def test_a_backup_is_a_whole_store_even_if_others_write_meanwhile(store: Store, tmp_path: Path) -> None:
    before = lines(store)
    stop = threading.Event()

    def write() -> None:
        with closing(BACKEND.open(tmp_path)) as other:
            other.append([run_started("more")])
            number = 0
            while not stop.is_set():
                number += 1
                text = f"{number} {'x' * 2_000}"  # a blob file each
                other.append([generation_recorded(str(number), Generation("answered", text), run_id="more")])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            target = tmp_path / f"copy {number}"
            store.back_up(target)
            with closing(SqliteBlobStorageSpec(root_dir=target.name).open(tmp_path, mode="read")) as copy:
                assert list(copy.verify()) == []
                assert lines(copy) == before
    finally:
        stop.set()
        writer.join()
    assert {each.name for each in tmp_path.iterdir()} == {"store", "copy 0", "copy 1", "copy 2"}


@pytest.mark.parametrize("there", ["a file", "a folder with something in it"])
def test_a_backup_replaces_nothing(store: Store, tmp_path: Path, there: str) -> None:
    target = tmp_path / "target"
    if there == "a file":
        target.write_text("precious")
    else:
        target.mkdir()
        (target / "file").write_text("precious")
    with pytest.raises(StorageError, match="is there already: name a new folder"):
        store.back_up(target)
    assert "precious" in (target if target.is_file() else target / "file").read_text()


def test_a_damaged_store_gives_no_backup(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sql("UPDATE payloads SET text = 'x' WHERE id = 2")(tmp_path / "store")
    with pytest.raises(StorageError, match=r"does not verify \(payloads 2: the text does not match its hash\)"):
        store.back_up(tmp_path / "empty")
    assert {each.name for each in tmp_path.iterdir()} == {"store", "empty"}
    assert list((tmp_path / "empty").iterdir()) == []


def leave_files(folder: Path) -> dict[str, Path]:
    """Make files that a crash may leave, and some that somebody else put there; all are two days old."""
    blobs = folder / "blobs"
    files = {
        "orphan": blobs / "00" / f"{'0' * 64}.zst",
        "before an owned one": blob(folder).with_name(f"{blob(folder).name[:2]}{'0' * 62}.zst"),
        "after an owned one": blob(folder).with_name(f"{blob(folder).name[:2]}{'f' * 62}.zst"),
        "part": blob(folder).with_name(f".{'e' * 64}.zst.1.abcd.part"),
        "last": blobs / "ff" / f"{'f' * 64}.zst",
        "stranger": blobs / "00" / "README",
        "stranger with a name like ours": blobs / "00" / f"{'f' * 64}.zst",
        "stranger without a folder": blobs / f"{'f' * 64}.zst",
    }
    for path in files.values():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left")
    for path in blobs.rglob("*"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 2 * 86_400))
    return files


def test_files_without_owner_are_removed_after_their_grace_and_no_others(store: Store, tmp_path: Path) -> None:
    before = lines(store)
    files = leave_files(tmp_path / "store")
    unused = {str(files[name]) for name in files if not name.startswith("stranger")}
    assert list(store.remove_unused_files(older_than_s=3 * 86_400, dry_run=False)) == []
    found = list(store.remove_unused_files(older_than_s=86_400, dry_run=True))
    assert {each.path for each in found} == unused
    assert {each.size_bytes for each in found} == {4}
    assert all(path.exists() for path in files.values())

    assert {each.path for each in store.remove_unused_files(older_than_s=86_400, dry_run=False)} == unused
    assert [name for name, path in files.items() if path.exists()] == [
        name for name in files if name.startswith("stranger")
    ]
    assert list(store.remove_unused_files(older_than_s=0, dry_run=False)) == []
    assert list(store.verify()) == []
    assert lines(store) == before


def test_a_file_that_gets_an_owner_while_others_are_removed_stays(store: Store, tmp_path: Path) -> None:
    text = "adopted " * 500
    leave_files(tmp_path / "store")
    adopted = tmp_path / "store" / "blobs" / "ff" / f"{key_of(text)}.zst"
    adopted = adopted.parents[1] / adopted.name[:2] / adopted.name
    with closing(SqliteBlobStorageSpec(root_dir="elsewhere", inline_limit_bytes=1_024).open(tmp_path)) as other:
        other.append([generation_recorded("1", Generation("answered", text))])
    adopted.parent.mkdir(exist_ok=True)
    adopted.write_bytes((tmp_path / "elsewhere" / "blobs" / adopted.name[:2] / adopted.name).read_bytes())

    removal = store.remove_unused_files(older_than_s=0, dry_run=False)
    first = next(removal)  # it has made its list
    assert first.path != str(adopted)
    with closing(BACKEND.open(tmp_path)) as other:
        other.append([generation_recorded("adopts", Generation("answered", text))])
    assert str(adopted) not in {each.path for each in removal}
    assert store.generations([key_of("adopts")])[key_of("adopts")].text == text


def test_a_backend_can_leave_all_of_it_to_the_tools_of_its_database(tmp_path: Path) -> None:
    store = MemoryStore()
    for task in (
        store.verify,
        store.rebuild,
        lambda: store.back_up(tmp_path),
        lambda: store.remove_unused_files(older_than_s=0, dry_run=True),
    ):
        with pytest.raises(StorageError, match=r"MemoryStore can't .*: use the tools of its database"):
            task()


def test_the_canonical_form_is_equal_for_equal_results_however_they_came_about(store: Store) -> None:
    other = MemoryStore()
    fill(other)
    assert lines(other) == lines(store)

    def run(run_id: str, *, at: str, generation: Generation, outcome: str = "answered") -> str:
        each = MemoryStore()
        record = generation_recorded("1", generation, run_id=run_id, at=at)
        trial = trial_finished(run_id=run_id, at=at, outcome=outcome, reused=at > "2027")
        each.append([run_started(run_id, at=at), record, trial])
        return canonical_digest(each, run_id)

    quiet = Generation("answered", "A: 4", latency_s=1.0, provider={"id": "x-1"}, cost=0.5)
    same = run("run", at="2026-01-01", generation=quiet)
    later = replace(quiet, latency_s=9.0, attempts=3, provider={"id": "x-2"})
    assert run("run", at="2028-01-01", generation=later) == same
    differing = [replace(quiet, text="A: 5"), replace(quiet, cost=0.6), replace(quiet, finish_reason="stop")]
    digests = {run("run", at="2026-01-01", generation=each) for each in differing}
    assert len(digests | {same}) == 4
    assert run("run", at="2026-01-01", generation=quiet, outcome="truncated") not in digests | {same}
