"""Several processes on one store: killed ones lose and hold nothing, live ones do not disturb each other."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from themis_core import Results, RunLocked, StorageError
from themis_core.testing.events import generation_recorded, key_of, run_started
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_plugin_sqlite.leftovers import remove_files

START = """
import sys
from pathlib import Path
from typing import Any
from themis_core.testing.events import *
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
store = SqliteBlobStorageSpec().open(Path(sys.argv[1]))
"""
APPEND = """
number = 0
while True:
    number += 1
    name = f"{sys.argv[2]}-{number}"
    store.append([
        generation_recorded(name, run_id=sys.argv[2], text="long " * 20_000 if number % 10 == 0 else name),
        trial_finished(name, run_id=sys.argv[2], generation_keys=(key_of(name),), scores=(score_entry(name),)),
    ])
    print(name, flush=True)
"""
HOLD = """
with store.lock_run(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START + code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> list[str]:
    process.send_signal(signal.SIGKILL)
    assert process.stdout is not None
    rest = process.stdout.read()
    process.communicate()
    return rest.splitlines()


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, seconds: float) -> None:
    process = start(APPEND, tmp_path, "run")
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    time.sleep(seconds)
    names = [first, *end(process)]

    store = SqliteBlobStorageSpec().open(tmp_path)
    trials = [(row.item_id, row.outcome) for row in store.trial_rows("run")]
    assert set(names) <= {item for item, _ in trials}
    assert len(trials) <= len(names) + 1, "at most the one in flight was not acknowledged"
    assert len(store.scores([key_of(name) for name in names])) == len(names)
    records = list(store.generation_records([key_of(name) for name in names]))
    assert [record.request.item_id for record in records] == names
    before = list(store.events())
    store.rebuild()  # type: ignore[attr-defined]
    assert [(row.item_id, row.outcome) for row in store.trial_rows("run")] == trials
    assert list(store.events()) == before
    store.close()


def test_several_processes_make_and_fill_one_store_at_once(tmp_path: Path) -> None:
    processes = [start(APPEND, tmp_path, name) for name in "abc"]
    first = [process.stdout.readline().strip() for process in processes if process.stdout]
    time.sleep(0.5)
    names = {name: [start, *end(process)] for name, start, process in zip("abc", first, processes, strict=True)}

    store = SqliteBlobStorageSpec().open(tmp_path, mode="read")
    for run, acknowledged in names.items():
        stored = {row.item_id for row in store.trial_rows(run)}
        assert set(acknowledged) <= stored
        assert len(stored) <= len(acknowledged) + 1
        found = store.generations([key_of(name) for name in acknowledged])
        assert len(found) == len(acknowledged)
    seqs = [event["seq"] for event in store.events()]
    assert seqs == list(range(1, len(seqs) + 1))
    store.close()


@pytest.mark.parametrize("run_id", ["run", "../../outside", "a/b:c\0"])
def test_a_run_that_another_process_works_on_names_it_and_is_free_when_that_dies(tmp_path: Path, run_id: str) -> None:
    argument = "a/b:c" if "\0" in run_id else run_id  # no command line takes a NUL
    store = SqliteBlobStorageSpec().open(tmp_path)
    process = start(HOLD, tmp_path, argument)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    holder = f"process {process.pid} on {re.escape(socket.gethostname())} since 20"
    with pytest.raises(RunLocked, match=holder), store.lock_run(argument):
        pass
    with store.lock_run("another"):
        pass
    end(process)
    with store.lock_run(argument), store.lock_run(run_id + "x"):
        pass
    store.close()
    assert [each.name for each in tmp_path.iterdir()] == [".themis"]


HOLDER = """
import sys, time
from pathlib import Path
from typing import Any
from themis_core.testing.events import run_started
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
store = SqliteBlobStorageSpec().open(Path(sys.argv[1]))
with store.lock_run("run"):
    store.append([run_started()])
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def empty_another(lock: Path) -> None:
    lock.unlink()
    lock.touch()


def copy_over(lock: Path) -> None:
    shutil.copy(lock, lock.with_name("copy"))
    lock.with_name("copy").replace(lock)


LOST_LOCKS: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "its folder deleted": lambda lock: shutil.rmtree(lock.parent),
    "moved": lambda lock: lock.rename(lock.with_name("elsewhere")),
    "replaced by an empty one": empty_another,
    "replaced by a copy": copy_over,
}


@pytest.mark.parametrize("lost", LOST_LOCKS)
def test_a_run_whose_lock_file_is_gone_is_held_until_its_process_is_dead(
    tmp_path: Path, holder: subprocess.Popen[str], lost: str
) -> None:
    LOST_LOCKS[lost](tmp_path / ".themis" / "locks" / "run.lock")
    with closing(SqliteBlobStorageSpec().open(tmp_path)) as store:
        assert store.is_held("run")
        with pytest.raises(RunLocked, match=f"process {holder.pid} on "), store.lock_run("run"):
            pass
        with pytest.raises(RunLocked, match="is being worked on"):
            store.rebuild()
        holder.kill()
        holder.wait()
        assert not store.is_held("run")
        with store.lock_run("run"):
            assert store.is_held("run")


def test_a_copy_of_a_store_is_held_by_nobody(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    shutil.copytree(tmp_path / ".themis", tmp_path / "copy" / ".themis", ignore=shutil.ignore_patterns("locks"))
    with closing(SqliteBlobStorageSpec().open(tmp_path / "copy")) as store:
        assert not store.is_held("run")
        with store.lock_run("run"):
            pass


def test_a_process_that_lives_on_holds_no_run_that_it_has_given_back(tmp_path: Path) -> None:
    with closing(SqliteBlobStorageSpec().open(tmp_path)) as store:
        with store.lock_run("run"):
            pass
        shutil.rmtree(tmp_path / ".themis" / "locks")
        assert not store.is_held("run")


def test_a_writer_whose_lock_file_is_deleted_saves_nothing_more(tmp_path: Path) -> None:
    with closing(SqliteBlobStorageSpec().open(tmp_path)) as store, store.lock_run("run"):
        store.append([run_started()])
        (tmp_path / ".themis" / "locks" / "run.lock").unlink()
        with pytest.raises(StorageError, match=r"run\.lock is gone .* while the store was in use"):
            store.append([generation_recorded("1")])


def test_runs_tells_a_run_that_goes_on_from_one_whose_process_died(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with Results(SqliteBlobStorageSpec(), tmp_path) as results:
        assert [run.status for run in results.runs()] == ["running"]
        holder.kill()
        holder.wait()
        assert [run.status for run in results.runs()] == ["died"]
        assert results.run("run").status == "died"


BACKUP = """
import sys, time
from pathlib import Path
from typing import Any
import themis_plugin_sqlite.store as store
def stand_still(self, folder):
    (folder / "themis.sqlite3").write_bytes(b"half")
    print("copying", flush=True)
    time.sleep(60)
store.SqliteStore._copy = stand_still
store.open_store(Path(sys.argv[1]) / ".themis", mode="read").back_up(Path(sys.argv[1]) / "copy")
"""


def test_the_next_backup_removes_what_a_killed_one_left_but_not_one_at_work(tmp_path: Path) -> None:
    with closing(SqliteBlobStorageSpec().open(tmp_path)) as store:
        store.append([run_started()])
        stranger = tmp_path / ".stranger.part"
        stranger.mkdir()
        command = [sys.executable, "-c", BACKUP, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "copying\n"
            store.back_up(tmp_path / "first")
            assert len(list(tmp_path.glob(".copy.*.part"))) == 1
            process.kill()
        store.back_up(tmp_path / "second")
    assert {each.name for each in tmp_path.iterdir()} == {".themis", "first", "second", ".stranger.part"}
    assert {each.name for each in (tmp_path / "second").iterdir()} == {"themis.sqlite3"}


def test_gc_removes_what_the_making_of_a_store_left(tmp_path: Path) -> None:
    with closing(SqliteBlobStorageSpec().open(tmp_path)) as store:
        left = tmp_path / ".themis" / ".themis.sqlite3.1.abcd.part"
        left.write_bytes(b"half")
        assert list(store.remove_unused_files(older_than_s=60, dry_run=False)) == []
        assert [each.path for each in store.remove_unused_files(older_than_s=0, dry_run=True)] == [str(left)]
        assert [each.path for each in store.remove_unused_files(older_than_s=0, dry_run=False)] == [str(left)]
    assert not left.exists()
    assert list(remove_files([left], older_than_s=0, dry_run=False)) == []  # as if its maker had finished it meanwhile


WRITE = """
store.append([run_started("second")])
store.close()
"""


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_store_that_is_opened_twice_in_a_process_keeps_its_log_while_others_come_and_go(
    tmp_path: Path, mode: Any
) -> None:
    with closing(SqliteBlobStorageSpec().open(tmp_path)) as made:
        made.append([run_started("first")])
        # While a store is open, the log holds what is not in the main file yet.
        with closing(SqliteBlobStorageSpec().open(tmp_path, mode="read")) as seen:
            kept = SqliteBlobStorageSpec().open(tmp_path, mode=mode)
            made.close()
            SqliteBlobStorageSpec().open(tmp_path, mode="read").close()
            other = start(WRITE, tmp_path)
            other.communicate(timeout=60)
            assert (other.returncode, {run.run_id for run in seen.runs()}) == (0, {"first", "second"})
            if mode == "write":
                kept.append([run_started("third")])
            kept.close()
            assert {"first", "second"} <= {run.run_id for run in seen.runs()}
    with closing(SqliteBlobStorageSpec().open(tmp_path, mode="read")) as anew:
        assert {run.run_id for run in anew.runs()} == {"first", "second", *(["third"] if mode == "write" else [])}


def test_the_descriptors_of_a_store_end_with_its_last_connection(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    stores = [SqliteBlobStorageSpec().open(tmp_path, mode=mode) for mode in ("write", "read", "write", "read")]
    for store in stores:
        store.close()
    with pytest.raises(StorageError):
        SqliteBlobStorageSpec(root_dir=str(tmp_path / "none")).open(tmp_path, mode="read")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
