"""The file of a store: which files are opened, which are refused untouched, and what an error says."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from themis_core import RunLocked, StorageError
from themis_core.testing.events import generation_recorded, key_of, run_started, trial_finished
from themis_plugin_sqlite import locks, mounts
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_plugin_sqlite.database import SqliteDatabase, has_wal_reset_bug
from themis_plugin_sqlite.generating import schema_text
from themis_plugin_sqlite.making import SCHEMA_FILE
from themis_plugin_sqlite.mounts import Mount, mount_of
from themis_sql import SCHEMA_VERSION


@pytest.fixture
def backend() -> SqliteBlobStorageSpec:
    return SqliteBlobStorageSpec(busy_timeout_s=0.2)


@pytest.fixture
def path(backend: SqliteBlobStorageSpec, tmp_path: Path) -> Path:
    """The file of a store that holds one run."""
    store = backend.open(tmp_path)
    store.append([run_started(), generation_recorded(), trial_finished()])
    store.close()
    return Path(backend.location(tmp_path))


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_the_store_is_one_file_in_its_folder(path: Path, tmp_path: Path) -> None:
    assert set(content_of(tmp_path)) == {".themis/themis.sqlite3", ".themis/.gitignore"}
    assert path == tmp_path / ".themis" / "themis.sqlite3"


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_newer_store_is_refused_and_left_as_it_was(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path, mode: str
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = content_of(tmp_path)
    with pytest.raises(
        StorageError, match=rf"newer Themis \(schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}\): update"
    ):
        backend.open(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert content_of(tmp_path) == before


def test_a_newer_store_whose_version_is_still_in_its_log_is_refused(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        assert path.read_bytes()[60:64] == SCHEMA_VERSION.to_bytes(4, "big")
        with pytest.raises(StorageError, match="newer Themis"):
            backend.open(tmp_path)


def _other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (id)")


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("my notes"),
        lambda path: path.write_bytes(b"SQLite format 3\0"),
        lambda path: path.write_bytes(os.urandom(4096)),
        _other_database,
    ],
    ids=["text", "cut off", "random bytes", "another program's database"],
)
def test_a_file_that_is_no_store_is_refused_and_left_as_it_was(
    backend: SqliteBlobStorageSpec, tmp_path: Path, mode: str, make: object
) -> None:
    path = Path(backend.location(tmp_path))
    path.parent.mkdir()
    make(path)  # type: ignore[operator]
    before = content_of(tmp_path)
    with pytest.raises(StorageError, match="is not a store of Themis: name another root_dir"):
        backend.open(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("mode", ["read", "write"])
def test_an_empty_file_is_refused_and_left_as_it_was(
    backend: SqliteBlobStorageSpec, tmp_path: Path, mode: Literal["read", "write"]
) -> None:
    path = Path(backend.location(tmp_path))
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StorageError, match="is empty, so it never was a store, or what it held is lost"):
        backend.open(tmp_path, mode=mode)
    assert content_of(tmp_path) == {".themis/themis.sqlite3": b""}


def test_no_store_is_made_beside_the_log_of_a_lost_one(backend: SqliteBlobStorageSpec, tmp_path: Path) -> None:
    path = Path(backend.location(tmp_path))
    path.parent.mkdir()
    path.with_name(f"{path.name}-wal").write_bytes(b"last changes")
    with pytest.raises(StorageError, match="is there without its database"):
        backend.open(tmp_path)
    assert not path.exists()


def test_git_leaves_a_folder_out_that_themis_made_and_no_other(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path
) -> None:
    ignored = path.with_name(".gitignore")
    assert ignored.read_text().endswith("*\n")
    ignored.unlink()
    backend.open(tmp_path).close()
    assert not ignored.exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    SqliteBlobStorageSpec(root_dir="mine").open(tmp_path).close()
    assert [each.name for each in mine.iterdir()] == ["themis.sqlite3"]


def test_reading_changes_no_file(backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path) -> None:
    before = content_of(tmp_path)
    store = backend.open(tmp_path, mode="read")
    assert store.stored_generations([key_of("1")]) == {key_of("1")}
    with pytest.raises(StorageError, match=r"readonly database.*can't be written"):
        store.append([generation_recorded("2")])
    with pytest.raises(StorageError, match="opened to read only"), store.lock_run("run"):
        pass
    store.close()
    assert content_of(tmp_path) == before


def test_a_store_in_a_folder_that_can_not_be_written_is_readable(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    store = backend.open(tmp_path, mode="read")
    assert [run.run_id for run in store.runs()] == ["run"]
    assert set(content_of(tmp_path)) == {".themis/themis.sqlite3", ".themis/.gitignore"}
    store.close()


def test_a_root_dir_that_is_a_file_is_an_error_that_says_so(backend: SqliteBlobStorageSpec, tmp_path: Path) -> None:
    (tmp_path / ".themis").write_text("")
    with pytest.raises(StorageError, match=r"can't open the store .*themis\.sqlite3: "):
        backend.open(tmp_path)


def test_a_store_that_a_stranger_holds_longer_than_the_timeout_is_an_error_that_names_the_setting(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path
) -> None:
    store = backend.open(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"writing to it for 0\.2 s: wait for it, or raise busy_timeout_s"):
            store.append([generation_recorded("2")])
        assert store.stored_generations([key_of("1"), key_of("2")]) == {key_of("1")}
    store.append([generation_recorded("2")])
    assert store.stored_generations([key_of("2")]) == {key_of("2")}
    store.close()


def test_a_full_disk_is_an_error_that_says_so_and_the_store_stays_readable(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path
) -> None:
    store = backend.open(tmp_path)
    store._database.run("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match="the disk is full: free some space"):
        store.append([generation_recorded(str(n), text=os.urandom(9_000).hex()) for n in range(2, 50)])
    assert store.stored_generations([key_of("1"), key_of("2")]) == {key_of("1")}
    store.close()


class CommitFails(SqliteDatabase):
    """Reports an I/O error on some commits, after or before they took effect."""

    failures = 0
    kept = False

    def run(self, sql: str, values: tuple[object, ...] = ()) -> None:
        if sql == "COMMIT" and self.failures:
            self.failures -= 1
            super().run("COMMIT" if self.kept else "ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")
        super().run(sql, values)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_commit_of_unknown_outcome_is_repeated_once_on_a_new_connection(
    backend: SqliteBlobStorageSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    *,
    kept: bool,
) -> None:
    monkeypatch.setattr("themis_plugin_sqlite.store.SqliteDatabase", CommitFails)
    store = backend.open(tmp_path)
    file: CommitFails = store._database  # type: ignore[attr-defined]
    first = file.connection
    file.failures, file.kept = failures, kept
    if failures == 1:
        store.append([run_started(), generation_recorded()])
    else:
        with pytest.raises(StorageError, match=r"disk I/O error.*check the disk"):
            store.append([run_started(), generation_recorded()])
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        first.execute("SELECT 1")
    assert len(list(store.events())) == (2 if kept or failures == 1 else 0)
    store.append([run_started(), generation_recorded()])
    assert len(list(store.events())) == 2
    store.close()


class Interrupted(SqliteDatabase):
    """Is interrupted once: before or after a statement took effect."""

    statement = ""
    is_done_first = False

    def run(self, sql: str, values: tuple[object, ...] = ()) -> None:
        if sql != self.statement:
            super().run(sql, values)
            return
        self.statement = ""
        if self.is_done_first:
            super().run(sql, values)
        raise KeyboardInterrupt


@pytest.mark.parametrize("is_done_first", [True, False])
@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT", "PRAGMA synchronous = NORMAL"])
def test_an_interrupt_leaves_neither_a_transaction_open_nor_commits_that_are_not_waited_for(
    backend: SqliteBlobStorageSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    *,
    is_done_first: bool,
) -> None:
    monkeypatch.setattr("themis_plugin_sqlite.store.SqliteDatabase", Interrupted)
    with closing(backend.open(tmp_path)) as store, closing(backend.open(tmp_path)) as other:
        file: Interrupted = store._database  # type: ignore[attr-defined]
        file.statement, file.is_done_first = statement, is_done_first
        with pytest.raises(KeyboardInterrupt), file.brief():
            pass
        assert not file.connection.in_transaction
        assert file.row("PRAGMA synchronous") == (2,)
        other.append([generation_recorded("1")])
        store.append([generation_recorded("2")])
        assert store.stored_generations([key_of("1"), key_of("2")]) == {key_of("1"), key_of("2")}


def test_an_error_never_shows_a_prompt(backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path) -> None:
    store = backend.open(tmp_path)
    store._database.run("DROP TABLE payloads")  # type: ignore[attr-defined]
    prompt = key_of("a prompt")
    with pytest.raises(StorageError) as caught:
        store.append([generation_recorded("2", text=prompt)])
    assert prompt not in "".join(traceback.format_exception(caught.value))
    store.close()


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_versions_with_the_wal_reset_bug_are_known(version: tuple[int, ...], *, expected: bool) -> None:
    assert has_wal_reset_bug(version) is expected


@pytest.fixture
def with_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.40.1")


HOLD = """
import sys
from pathlib import Path
from themis_plugin_sqlite import locks
with locks.hold(Path(sys.argv[1]), "another"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_at_work(folder: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder / "locks")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        yield
        process.stdin.close()


@pytest.mark.usefixtures("with_bug")
def test_the_wal_reset_bug_is_logged_once_for_a_store_and_only_while_others_use_it(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> list[str]:
        caplog.clear()
        store = backend.open(tmp_path)
        with store.lock_run("run"):
            store.append([generation_recorded("2")])
        store.close()
        return [re.sub(",.*", "", message) for message in caplog.messages]

    with caplog.at_level(logging.WARNING):
        assert work() == []
        with another_process_at_work(path.parent):
            assert work() == ["SQLite 3.40.1 has the WAL-reset bug"]
            assert work() == []
    assert work() == []


def test_a_lock_that_was_left_is_held_by_nobody(path: Path) -> None:
    folder = path.parent / "locks"
    with another_process_at_work(path.parent):
        assert locks.seem_held(folder, besides=folder / "run.lock")
        assert not locks.seem_held(folder, besides=folder / "another.lock")
        assert re.match("run 'another' is being worked on by process ", locks.held(folder) or "")
    assert not locks.seem_held(folder, besides=folder / "run.lock")
    (folder / "dead.lock").write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1, "since": "long ago"}))
    (folder / "odd.lock").write_text("nonsense")
    assert not locks.seem_held(folder, besides=folder / "run.lock")
    (folder / "far.lock").write_text(json.dumps({"host": "elsewhere.example", "pid": 1, "since": "long ago"}))
    assert locks.seem_held(folder, besides=folder / "run.lock")
    assert not locks.seem_held(folder, besides=folder / "far.lock")
    assert locks.held(folder) is None


def test_a_store_is_not_rebuilt_while_a_run_is_being_worked_on(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path
) -> None:
    with closing(backend.open(tmp_path)) as store:
        with (
            another_process_at_work(path.parent),
            pytest.raises(RunLocked, match="run 'another' is being worked on by"),
        ):
            store.rebuild()
        with store.lock_run("run"), pytest.raises(RunLocked, match="run 'run' is being worked on by process"):
            store.rebuild()
        with (
            store.lock_run("run", "3/16"),
            pytest.raises(RunLocked, match="shard 3/16 of run 'run' is being worked on by process"),
        ):
            store.rebuild()
        store.rebuild()
        assert list(store.verify()) == []


def test_a_store_is_not_rebuilt_if_nobody_can_see_whether_a_run_is_being_worked_on(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path
) -> None:
    with closing(backend.open(tmp_path)) as store:
        strange = path.parent / "locks" / "strange.lock"
        strange.mkdir(parents=True)  # as a file of somebody else's, it can't be opened
        with pytest.raises(StorageError, match=r"can't see whether .*strange\.lock is held: Is a directory"):
            store.rebuild()


MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/ada/local ext4 rw 0 0
//server/share /mnt/a\040share cifs rw 0 0
user@host: /mnt/over fuse.sshfs rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
nonsense
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/srv/store", Mount(Path("/"), "ext4")),
        ("/home", Mount(Path("/home"), "nfs4")),
        ("/home/ada/store", Mount(Path("/home"), "nfs4")),
        ("/home/ada/local/store", Mount(Path("/home/ada/local"), "ext4")),
        ("/homely", Mount(Path("/"), "ext4")),
        ("/mnt/a share/x", Mount(Path("/mnt/a share"), "cifs")),
        ("/mnt/over/x", Mount(Path("/mnt/over"), "tmpfs")),  # mounted over the other one
    ],
)
def test_a_folder_is_on_the_innermost_mount_and_the_last_one_there(folder: str, expected: Mount) -> None:
    assert mount_of(Path(folder), MOUNTS) == expected


def test_a_store_on_a_network_file_system_is_read_but_not_written_unless_that_is_allowed(
    backend: SqliteBlobStorageSpec, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "mounts"
    listed.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(mounts, "_MOUNTS", listed)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"network file system \(nfs4 at .*allow_network_file_system: true"):
        backend.open(tmp_path)
    with pytest.raises(StorageError, match="network file system"):
        SqliteBlobStorageSpec(root_dir="new/one").open(tmp_path)
    assert path.read_bytes() == before
    assert not (tmp_path / "new").exists()
    backend.open(tmp_path, mode="read").close()
    SqliteBlobStorageSpec(allow_network_file_system=True).open(tmp_path).close()


@pytest.mark.parametrize(
    "config",
    [
        {"root_dir": " "},
        {"root_dir": "a\0b"},
        {"synchronous": "OFF"},
        {"busy_timeout_s": -1},
        {"inline_limit_bytes": 1},
        {"root": "x"},
    ],
)
def test_a_config_mistake_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SqliteBlobStorageSpec(**config)  # type: ignore[arg-type]


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_a_connection_is_set_up_as_the_config_says(tmp_path: Path, synchronous: str) -> None:
    store = SqliteBlobStorageSpec(synchronous=synchronous).open(tmp_path)  # type: ignore[arg-type]
    row = store._database.row  # type: ignore[attr-defined]
    assert row("PRAGMA journal_mode")[0] == "wal"
    assert row("PRAGMA synchronous")[0] == {"FULL": 2, "NORMAL": 1}[synchronous]
    assert row("PRAGMA busy_timeout")[0] == 60_000
    store.close()


def test_the_file_of_statements_is_as_the_schema_gives_it() -> None:
    assert SCHEMA_FILE.read_text("utf-8") == schema_text()


def test_naming_the_plugin_imports_no_sqlalchemy() -> None:
    code = (
        "import sys; from themis_plugin_sqlite import plugin; found = {}\n"
        "plugin.themis_register_storage_backends(found.setdefault)\n"
        "print(sorted(found), [name for name in ('sqlalchemy', 'zstandard') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['blob'] []\n"


def test_a_store_is_for_the_processes_of_one_machine(tmp_path: Path) -> None:
    (told,) = SqliteBlobStorageSpec(root_dir="here").only_here(tmp_path)
    assert (told.setting, told.folder) == ("root_dir", tmp_path / "here")
    assert "use the backend postgres" in told.advice
