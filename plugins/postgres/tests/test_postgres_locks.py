"""Locks of runs: who holds one, when a dead process's is free, and that a zombie's late write never lands."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from themis_core import PartsRecord, RunLocked, StorageError, Store
from themis_core.testing.events import generation_recorded, key_of
from themis_core.testing.postgres import PostgresServer
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.store import PostgresStore

START = """
import sys
from pathlib import Path
from themis_core.testing.events import *
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
store = PostgresBlobStorageSpec(schema_name=sys.argv[1], lease_s=float(sys.argv[3])).open(Path(sys.argv[2]))
"""
HOLD = """
with store.lock_run("run"):
    print("held", flush=True)
    for line in sys.stdin:
        try:
            store.append([generation_recorded(line.strip())])
        except Exception as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        else:
            print("saved", flush=True)
"""
WRITE = """
with store.lock_run("run"), store._database.transaction():
    store._database.run("INSERT INTO runs VALUES (1, 'half written')")
    print("writing", flush=True)
    sys.stdin.readline()
    print("ended", flush=True)
"""


@pytest.fixture
def backend(url: str, schema_name: str) -> PostgresBlobStorageSpec:
    return PostgresBlobStorageSpec(schema_name=schema_name, lease_s=1)


@pytest.fixture
def store(backend: PostgresBlobStorageSpec, tmp_path: Path) -> Iterator[Store]:
    store = backend.open(tmp_path)
    yield store
    store.close()


@pytest.fixture
def start(backend: PostgresBlobStorageSpec, store: Store, tmp_path: Path) -> Iterator[Any]:
    """Start a process that holds the run."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, lease_s: float, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", START + code, backend.schema_name, str(tmp_path), str(lease_s), *more]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return said(process)


def take_when_free(store: Store) -> None:
    """Wait until the run can be locked, and lock it for a moment."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with store.lock_run("run"):
                return
        except RunLocked:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_run_that_another_process_works_on_names_it_and_is_free_after_the_lease_when_that_dies(
    store: Store, start: Any
) -> None:
    process = start(HOLD, 2)
    assert said(process) == "held"
    holder = (
        f"'run' is being worked on by process {process.pid} on {re.escape(socket.gethostname())} since 20.*lease|lock"
    )
    before = time.monotonic()
    with pytest.raises(RunLocked, match=holder), store.lock_run("run"):
        pass
    assert time.monotonic() - before < 10
    with store.lock_run("another"):
        pass
    process.send_signal(signal.SIGKILL)
    with pytest.raises(RunLocked), store.lock_run("run"):
        pass
    take_when_free(store)


def test_a_lock_outlives_its_lease_while_its_process_lives(store: Store, start: Any) -> None:
    process = start(HOLD, 1)
    assert said(process) == "held"
    for _ in range(25):
        with pytest.raises(RunLocked), store.lock_run("run"):
            pass
        time.sleep(0.1)
    assert tell(process, "1") == "saved"


def test_a_process_that_stood_still_longer_than_its_lease_writes_nothing_any_more(store: Store, start: Any) -> None:
    zombie = start(HOLD, 1)
    assert said(zombie) == "held"
    assert tell(zombie, "1") == "saved"
    zombie.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while True:
        try:
            lock = store.lock_run("run")
            lock.__enter__()
            break
        except RunLocked:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    zombie.send_signal(signal.SIGCONT)
    answer = tell(zombie, "2")
    assert answer.startswith("StorageError: run 'run' in postgresql://")
    assert "was taken over by process" in answer
    store.append([generation_recorded("3")])
    assert store.stored_generations([key_of(name) for name in "123"]) == {key_of("1"), key_of("3")}
    lock.__exit__(None, None, None)
    assert "StorageError" in tell(zombie, "4"), "nor when its successor has ended"


def test_a_process_that_stands_still_within_a_transaction_is_ended_and_holds_up_nobody_for_ever(
    store: Store, start: Any
) -> None:
    zombie = start(WRITE, 1)
    assert said(zombie) == "writing"
    zombie.send_signal(signal.SIGSTOP)
    before = time.monotonic()
    with pytest.raises(RunLocked), store.lock_run("run"):
        pass
    assert time.monotonic() - before < 10
    store.append([generation_recorded("1")])  # waits until the server ends the zombie's transaction
    take_when_free(store)
    zombie.send_signal(signal.SIGCONT)
    assert store.run("half written") is None


def test_a_lease_that_is_lost_within_a_process_stops_its_writes(store: Store) -> None:
    assert isinstance(store, PostgresStore)
    with store.lock_run("run"):
        store._database.run("UPDATE run_holders SET token = 'x'")
        with pytest.raises(StorageError, match=r"was taken over by process \d+ on .* since 20.*raise lease_s"):
            store.append([generation_recorded("1")])
        assert store.stored_generations([key_of("1")]) == set()
    store.append([generation_recorded("1")])


def test_without_the_check_within_the_transaction_a_late_write_would_land(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the tests above."""
    assert isinstance(store, PostgresStore)
    monkeypatch.setattr(store._postgres._locks, "check", lambda _: None)
    with store.lock_run("run"):
        store._database.run("UPDATE run_holders SET token = 'x'")
        store.append([generation_recorded("1")])
    assert store.stored_generations([key_of("1")]) == {key_of("1")}


def test_a_lease_is_renewed_on_a_new_connection_when_its_own_was_lost(
    store: Store, backend: PostgresBlobStorageSpec, server: PostgresServer, tmp_path: Path
) -> None:
    other = backend.open(tmp_path)
    with store.lock_run("run"):
        server.terminate_backends()
        time.sleep(1.5)
        with pytest.raises(RunLocked), other.lock_run("run"):
            pass
        store.append([generation_recorded("1")])
        server.terminate_backends()
    with other.lock_run("run"):
        pass
    other.close()


def test_a_lock_whose_reply_was_lost_is_taken_by_the_repeat(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, PostgresStore)
    locks = store._postgres._locks
    take, calls = locks.take, []

    def cut_off(lease: Any) -> None:
        take(lease)
        calls.append(lease)
        if len(calls) == 1:
            from themis_plugin_postgres.faults import PostgresFault

            raise PostgresFault("the connection is lost", lost=True)

    monkeypatch.setattr(locks, "take", cut_off)
    with store.lock_run("run"):
        assert len(calls) == 2


def test_a_closed_store_holds_no_lock_and_leaves_no_thread(
    store: Store, backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    other = backend.open(tmp_path)
    lock = other.lock_run("run")
    lock.__enter__()
    other.close()
    with store.lock_run("run"):
        pass
    lock.__exit__(None, None, None)
    assert [each for each in threading.enumerate() if each.name == "themis-postgres-lease"] == []


TAKE = """
part = "worker " + sys.argv[4]
with store.lock_run("run", part):
    print(store.open_parts("run", 6), list(store.take_parts("run", part, 2)), flush=True)
    for line in sys.stdin:
        try:
            store.append([generation_recorded(line.strip())])
            store.finish_parts("run", part, [1, 2])
        except Exception as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        else:
            print("saved", flush=True)
"""


def take_within(store: Store, part: str, seconds: float) -> list[int]:
    """Take what is free until something is, and return it."""
    deadline = time.monotonic() + seconds
    while not (taken := list(store.take_parts("run", part, 9))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return taken


def test_the_parts_of_a_killed_worker_are_taken_over_when_its_lease_has_run_out(store: Store, start: Any) -> None:
    killed, lives = start(TAKE, 2, "a"), start(TAKE, 2, "b")
    assert {said(killed), said(lives)} == {"6 [1, 2]", "6 [3, 4]"}
    with store.lock_run("run", "worker c"):
        assert (store.open_parts("run", 6), list(store.take_parts("run", "worker c", 9))) == (6, [5, 6])
        killed.send_signal(signal.SIGKILL)
        assert list(store.take_parts("run", "worker c", 9)) == []
        assert len(take_within(store, "worker c", 20)) == 2
        assert tell(lives, "1") == "saved"
        assert [each.part for each in store.at_work("run")] == ["worker b", "worker c"]


def test_a_worker_that_stood_still_too_long_has_lost_its_parts_and_saves_nothing_and_others_go_on(
    store: Store, start: Any
) -> None:
    zombie = start(TAKE, 1, "a")
    assert said(zombie) == "6 [1, 2]"
    lives = start(TAKE, 30, "b")
    assert said(lives) == "6 [3, 4]"
    zombie.send_signal(signal.SIGSTOP)
    with store.lock_run("run", "worker c"):
        assert list(store.take_parts("run", "worker c", 9)) == [5, 6]
        assert take_within(store, "worker c", 20) == [1, 2]
        zombie.send_signal(signal.SIGCONT)
        tell(zombie, "2")
        assert store.parts("run") == PartsRecord(6, 0, 6), "it has finished nothing that others have"
        assert tell(lives, "3") == "saved"


def test_a_shard_that_was_taken_over_saves_nothing_and_the_others_go_on(store: Store, start: Any) -> None:
    shard = HOLD.replace('lock_run("run")', 'lock_run("run", sys.argv[4])')
    zombie, lives = start(shard, 1, "1/2"), start(shard, 30, "2/2")
    assert (said(zombie), said(lives)) == ("held", "held")
    zombie.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while store.is_held("run", "1/2"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with store.lock_run("run", "1/2"):
        zombie.send_signal(signal.SIGCONT)
        assert tell(zombie, "1").startswith("StorageError: run 'run' (1/2) in postgresql://")
        assert tell(lives, "2") == "saved"
        store.append([generation_recorded("3")])
    assert store.stored_generations([key_of(name) for name in "123"]) == {key_of("2"), key_of("3")}


def test_many_contenders_for_one_run_and_one_gets_it(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    stores = [backend.open(tmp_path) for _ in range(6)]
    won: list[int] = []
    gate = threading.Barrier(len(stores))
    done = threading.Barrier(len(stores))

    def contend(number: int) -> None:
        gate.wait()
        try:
            with stores[number].lock_run("run"):
                won.append(number)
                done.wait()
        except RunLocked:
            done.wait()

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    for store in stores:
        store.close()
