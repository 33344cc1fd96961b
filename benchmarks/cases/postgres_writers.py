"""Several processes that save trials in one Postgres store at once: trials and commits a second, all of them together.

python -m benchmarks.cases.postgres_writers PROCESSES TRIALS GROUP
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.stores import GROUP, Place, made_trial
from benchmarks.table import Row

PROCESSES = (1, 2, 4)


def together(processes: int, trials: int, group: int) -> dict[str, float]:
    """Trials and commits a second of this many processes, each with this many trials of its own."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        spec = Place("postgres", Path(made), stack).new()
        spec.open(Path()).close()  # makes the tables
        order = json.dumps([spec.model_dump(mode="json"), trials, group])
        writers = [stack.enter_context(_writer(str(number), order)) for number in range(processes)]
        for writer in writers:
            _line(writer)  # it is ready
        begin = time.perf_counter()
        for writer in writers:
            _tell(writer)
        for writer in writers:
            _line(writer)  # it has saved all
        seconds = time.perf_counter() - begin
        commits = processes * -(-trials // group)
        return {"trials": processes * trials / seconds, "commits": commits / seconds}


def _writer(name: str, order: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.cases.postgres_writers", "write", name, order]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _tell(writer: subprocess.Popen[str]) -> None:
    assert writer.stdin is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()


def _line(writer: subprocess.Popen[str]) -> None:
    assert writer.stdout is not None
    if not writer.stdout.readline():
        raise RuntimeError(f"a writer ended with {writer.wait()}")


def write(name: str, order: str) -> None:
    """Be one of the processes: make all batches, and save them when told to."""
    from themis_plugin_postgres.backend import PostgresBlobStorageSpec

    config, trials, group = json.loads(order)
    batches = [
        [event for number in range(start, min(start + group, trials)) for event in made_trial(f"{name} {number}")]
        for start in range(0, trials, group)
    ]
    store = PostgresBlobStorageSpec(**config).open(Path())
    store.append(made_trial(f"{name} first"))  # which begins its chain of the log
    print("ready", flush=True)
    sys.stdin.readline()
    for batch in batches:
        store.append(batch)
    print("done", flush=True)
    store.close()


def rows(bench: Bench) -> Iterator[Row]:
    for processes in PROCESSES:
        who = "1 process" if processes == 1 else f"{processes} processes"
        count = bench.count(19_200)
        told = bench.told(__name__, str(processes), str(count // processes), str(GROUP))
        goal = 12_000 if processes == PROCESSES[-1] else None
        case = f"groups of {GROUP} trials saved on Postgres by {who}: trials a second"
        yield Row(case, told["trials"], goal=goal, at_least=True)
        told = bench.told(__name__, str(processes), str(count // 16 // processes), "1")
        yield Row(f"single trials saved on Postgres by {who}: commits a second", told["commits"])


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(*sys.argv[2:])
    else:
        print(json.dumps(together(*map(int, sys.argv[1:]))))
