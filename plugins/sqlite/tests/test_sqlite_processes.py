"""Several processes on one store: killed ones lose and hold nothing, live ones do not disturb each other."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from themis_core import RunLocked
from themis_core.testing.events import key_of
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

START = """
import sys
from pathlib import Path
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
