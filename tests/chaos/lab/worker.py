"""The program behind `lab.workers`: imports everything once, then makes a copy of itself for each order.

Orders and answers are lines of JSON. It ends, and ends its copies, with its standard input.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from lab import broken, failpoints, next_version

import themis_core.cli
import themis_plugin_sqlite.database
from themis_sql import SqlStore

IMPORTED = (
    "themis_core.session",
    "themis_plugin_extract.numbers",
    "themis_plugin_files.jsonl_file",
    "themis_plugin_openai.engines",
    "themis_plugin_postgres.store",
    "themis_plugin_replay.engine",
    "themis_plugin_sqlite.backend",
    "themis_plugin_text.matches",
)
"""What runs import, so that a copy starts at once."""

ACTIONS = {"kill": 1, "tear": 2, "io error": 3, "no space": 4}
children: set[int] = set()


def main() -> None:
    for module in IMPORTED:
        import_module(module)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        answer = wait(order["wait"], order["timeout"]) if "wait" in order else {"pid": start(order)}
        print(json.dumps(answer), flush=True)
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def start(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        obey(order)
    children.add(pid)
    return pid


def wait(pid: int, timeout: float) -> dict[str, int | None]:
    until = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children.discard(pid)
            return {"code": os.waitstatus_to_exitcode(status)}
        if time.monotonic() > until:
            return {"code": None}
        time.sleep(0.002)


def obey(order: dict[str, Any]) -> NoReturn:
    """Become the process that was ordered."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    for descriptor, path in ((0, os.devnull), (1, order["output"]), (2, order["errors"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    if order["file_limit"]:
        # Python ignores the signal that would come with it, so a write fails as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit"], order["file_limit"]))
    note_failures(order["failures"])
    if order["checkpoint_pages"]:
        setattr(themis_plugin_sqlite.database, "_CHECKPOINT_PAGES", order["checkpoint_pages"])  # noqa: B010 - a Final
    if order["next_version"]:
        next_version.plant()
    if order["failpoint"]:
        failpoints.install(order["failpoint"], order["nth"])
    if order["broken"]:
        broken.install(order["broken"])
    if order["shim"]:
        preload(order)
    sys.argv = ["themis", *order["run"]]
    code: Any = 70
    try:
        if order["work"]:
            code = work(order["work"])
        else:
            themis_core.cli.main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # not the end of the process that this is a copy of


def work(order: dict[str, Any]) -> int:
    """Work on a run as one of its workers, and return the exit code."""
    try:
        from themis_core import ThemisError
        from themis_core.session import WorkOrder, work

        return work(WorkOrder.from_dict(order)).exit_code or 0
    except ThemisError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BaseException:  # noqa: BLE001 - or nobody would see it
        traceback.print_exc()
        return 70


def note_failures(path: str) -> None:
    """Have the time written down at which the store says that it can't save."""
    append = SqlStore.append

    def watched(self: SqlStore, events: Any) -> None:
        try:
            append(self, events)
        except Exception:
            with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123 - a plain path came in the order
                file.write(f"{time.monotonic()}\n")
            raise

    SqlStore.append = watched  # type: ignore[method-assign]


def preload(order: dict[str, Any]) -> None:
    shim = ctypes.CDLL(order["shim"])
    trace = order["trace"]
    shim.chaos_begin(os.fsencode(order["folder"]), os.fsencode(trace) if trace else None)
    if order["fault"]:
        what, suffix, nth, action, times = order["fault"]
        shim.chaos_fault(
            ctypes.c_char(what.encode()), suffix.encode(), ctypes.c_long(nth), ACTIONS[action], ctypes.c_long(times)
        )


if __name__ == "__main__":
    main()
