"""Connections that are lost, servers that restart or stand still: nothing is lost, double, or stuck."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from themis_core import StorageError
from themis_core.testing.events import generation_recorded, key_of, run_started, score_entry, trial_finished
from themis_core.testing.postgres import PostgresServer
from themis_plugin_postgres import database
from themis_plugin_postgres.backend import PostgresBlobStorageSpec
from themis_plugin_postgres.database import PostgresDatabase
from themis_plugin_postgres.faults import PostgresFault
from themis_plugin_postgres.store import PostgresStore
from themis_sql.database import CommitUnknown


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that may be stopped."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def backend(own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> PostgresBlobStorageSpec:
    monkeypatch.setenv("THEMIS_POSTGRES_URL", own_server.new_database())
    return PostgresBlobStorageSpec(lease_s=5)


def open_store(backend: PostgresBlobStorageSpec, folder: Path) -> PostgresStore:
    store = backend.open(folder)
    assert isinstance(store, PostgresStore)
    return store


def batch(name: str) -> list[Any]:
    trial = trial_finished(name, generation_keys=(key_of(name),), scores=(score_entry(name),))
    return [generation_recorded(name, text=name), trial]


def check(store: PostgresStore, names: list[str]) -> None:
    """Everything that was acknowledged is there once, in its order."""
    assert sorted(row.item_id for row in store.trial_rows("run")) == sorted(names)
    assert len(store.scores([key_of(name) for name in names])) == len(names)
    events = list(store.events("run"))
    numbers = [each["seq"] for each in events]
    assert numbers == sorted(set(numbers))
    assert [each["item_id"] for each in events if each["kind"] == "trial"] == names


def append_until(store: PostgresStore, ended: threading.Event, names: list[str], failures: list[BaseException]) -> None:
    try:
        for number in itertools.count():
            if ended.is_set():
                return
            store.append(batch(str(number)))
            names.append(str(number))
            assert store.stored_generations([key_of(str(number))]) == {key_of(str(number))}
    except BaseException as error:  # noqa: BLE001 - looked at in the test's thread
        failures.append(error)


@pytest.mark.parametrize("fault", ["terminate", "fast", "immediate", "stall"])
def test_what_is_acknowledged_is_there_once_whatever_happens_to_the_server(
    backend: PostgresBlobStorageSpec, own_server: PostgresServer, tmp_path: Path, fault: str
) -> None:
    def stall() -> None:
        with own_server.stalled():
            time.sleep(0.3)

    faults: dict[str, Callable[[], Any]] = {
        "terminate": own_server.terminate_backends,
        "fast": lambda: own_server.restart("fast", down_s=0.2),
        "immediate": lambda: own_server.restart("immediate", down_s=0.2),
        "stall": stall,
    }
    store = open_store(backend, tmp_path)
    names: list[str] = []
    failures: list[BaseException] = []
    ended = threading.Event()
    with store.lock_run("run"):
        thread = threading.Thread(target=append_until, args=(store, ended, names, failures))
        thread.start()
        for _ in range(20 if fault == "terminate" else 2):
            before = len(names)
            while len(names) < before + 3 and thread.is_alive():
                time.sleep(0.005)
            faults[fault]()
        ended.set()
        thread.join()
    assert failures == []
    check(store, names)
    store.rebuild()
    check(store, names)
    store.close()


class CommitFails(PostgresDatabase):
    """Loses the connection at some commits, after or before they took effect."""

    failures = 0
    kept = False

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        if sql == "COMMIT" and self.failures:
            self.failures -= 1
            super().run("COMMIT" if self.kept else "ROLLBACK")
            connection = self._connection()
            connection.close()
            raise PostgresFault("the connection is lost", lost=True)
        super().run(sql, values)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("failures", [1, 2, 5])
def test_a_commit_of_unknown_outcome_is_repeated_on_a_new_connection(
    backend: PostgresBlobStorageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, *, kept: bool
) -> None:
    monkeypatch.setattr(database, "PostgresDatabase", CommitFails)
    store = open_store(backend, tmp_path)
    broken = store._database
    assert isinstance(broken, CommitFails)
    broken.failures, broken.kept = failures, kept
    store.append(batch("1"))
    assert broken.failures == 0
    check(store, ["1"])
    store.close()


def test_a_transaction_that_the_server_rolled_back_is_not_acknowledged(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    store = open_store(backend, tmp_path)
    transaction = store._database.transaction()
    transaction.__enter__()
    store._database.run("INSERT INTO runs VALUES (1, 'a')")
    with pytest.raises(PostgresFault, match="duplicate key"):
        store._database.run("INSERT INTO runs VALUES (1, 'a')")
    with pytest.raises(CommitUnknown, match="the transaction was rolled back"):
        transaction.__exit__(None, None, None)
    assert store._database.row("SELECT count(*) FROM runs") == (0,)
    store.close()


def test_a_server_that_stays_away_is_given_up_after_the_timeout_and_used_again_when_it_is_back(
    backend: PostgresBlobStorageSpec, own_server: PostgresServer, tmp_path: Path
) -> None:
    store = open_store(backend.model_copy(update={"reconnect_timeout_s": 0.3}), tmp_path)
    store.append(batch("1"))
    own_server.stop()
    try:
        with pytest.raises(StorageError, match="check that the server runs and can be reached by the URL in THEMIS"):
            store.append(batch("2"))
        with pytest.raises(StorageError, match="check that the server runs"):
            store.stored_generations([key_of("1")])
        with pytest.raises(StorageError, match="check that the server runs"):
            list(store.trial_rows("run"))
    finally:
        own_server.start()
    store.append(batch("2"))
    check(store, ["1", "2"])
    store.close()


def test_a_stream_that_is_cut_off_is_an_error_and_not_a_short_result(
    backend: PostgresBlobStorageSpec, own_server: PostgresServer, tmp_path: Path
) -> None:
    store = open_store(backend, tmp_path)
    with store._database.errors():
        rows = store._database.rows("SELECT generate_series(1, 10000000), repeat('x', 1000)")
        assert next(rows)[0] == 1
    own_server.terminate_backends()
    with pytest.raises(StorageError, match="check that the server runs"), store._database.errors():
        list(rows)
    store.append(batch("1"))
    check(store, ["1"])
    store.close()


def test_a_stranger_that_writes_for_longer_than_the_timeout_is_an_error_that_names_the_setting(
    backend: PostgresBlobStorageSpec, tmp_path: Path
) -> None:
    other = open_store(backend, tmp_path)
    store = open_store(backend.model_copy(update={"statement_timeout_s": 1.0}), tmp_path)
    with other._database.transaction():
        other._database.run("INSERT INTO runs VALUES (1, 'a')")
        with pytest.raises(StorageError, match=r"took 1 s, or waited that long.*raise statement_timeout_s"):
            store.append(batch("1"))
        assert store.stored_generations([key_of("1")]) == set()
    store.append(batch("1"))
    check(store, ["1"])
    store.close()
    other.close()


def test_a_newer_program_that_changed_the_store_meanwhile_stops_this_one(
    backend: PostgresBlobStorageSpec, own_server: PostgresServer, tmp_path: Path
) -> None:
    store, other = open_store(backend, tmp_path), open_store(backend, tmp_path)
    store.append([run_started()])
    other._database.run("UPDATE store_info SET version = 99")
    own_server.terminate_backends()
    with pytest.raises(StorageError, match="newer Themis"):
        store.append(batch("1"))
    store.close()
    other.close()


def test_a_store_that_was_replaced_meanwhile_is_not_gone_on_with(
    backend: PostgresBlobStorageSpec, own_server: PostgresServer, tmp_path: Path
) -> None:
    store = open_store(backend, tmp_path)
    store.append(batch("1"))
    other = open_store(backend, tmp_path)
    other._database.run("DROP SCHEMA themis CASCADE")
    own_server.terminate_backends()
    with pytest.raises(StorageError, match="there is no store at"):
        store.append(batch("2"))
    open_store(backend, tmp_path).close()
    with pytest.raises(StorageError, match="holds another store than before"):
        store.append(batch("2"))
    store.close()
    other.close()


def test_a_percent_sign_in_a_statement_means_itself(backend: PostgresBlobStorageSpec, tmp_path: Path) -> None:
    store = open_store(backend, tmp_path)
    assert store._database.row("SELECT 7 % 4") == (3,)
    assert store._database.row("SELECT ?::int % 4, 'a%'", (7,)) == (3, "a%")
    assert list(store._database.rows("SELECT 7 % 4")) == [(3,)]
    assert list(store._database.rows_in("SELECT id FROM runs WHERE id IN (*) AND id % 2 = 1", [1])) == []
    store.close()
