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
from made_store import LONG, fill, lines

from themis_core import Damage, Generation, StorageError, Store
from themis_core.results.export import canonical_digest
from themis_core.testing.events import generation_recorded, key_of, run_started, trial_finished
from themis_core.testing.memory import MemoryStore
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

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
        (sql("UPDATE events SET count = 2 WHERE seq = 1"), "events 1", "the row holds 3 events where 2 were written"),
        (
            sql("DELETE FROM events WHERE seq = 4"),
            "events 6",
            "the log goes on with 6 where 4 was to come: events are missing",
        ),
        (
            sql("DELETE FROM payloads WHERE id = (SELECT content FROM items WHERE item_id = '1')"),
            "events 1",
            "its text, payloads 2, is missing",
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
