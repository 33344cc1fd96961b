"""The process between Themis and a program: it starts the program behind walls, ends it in time, and says how it went.

    Themis ── job ───▶ warden ── fork ──▶ walls ─▶ program ─▶ tests
           ◀─ report ──       ◀── what holds; the verdict, with a word that the program does not know

It outlives neither Themis nor its bound of time, and leaves no process behind.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import select
import signal
import sys
import time
from os import _exit, write
from pathlib import Path
from typing import Any, Final, NoReturn

from themis_plugin_code.inside.harness import run
from themis_plugin_code.inside.namespaces import leave_all
from themis_plugin_code.inside.telling import MOST_TEXT, Verdict
from themis_plugin_code.inside.walls import raise_walls

__all__ = ["main"]

globals()["__builtins__"] = dict(vars(builtins))  # the functions below have builtins that no program changes
MOST_SAID: Final = 65_536
Report = dict[str, Any]


def main(alive: int) -> None:
    """Run the job of standard input, and write its report to standard output; `alive` is readable if Themis ended."""
    report = _report(json.loads(sys.stdin.buffer.read()), alive)
    os.write(1, json.dumps(report).encode())
    os._exit(0)


def _report(job: dict[str, Any], alive: int) -> Report:
    namespaces = _left() if job["namespaces"] else "namespaces are not wanted"
    word = os.urandom(16).hex()
    reading, writing = os.pipe()
    number = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.close(alive)
        _be_the_program(job, namespaces, number, word, writing)
    os.close(writing)
    until = time.monotonic() + job["wall_s"]
    said = _listen(reading, alive, until)
    status, cpu_s, in_time = _ended(child, until)
    walls, *others = (_read(line, word) for line in said.split(b"\n"))
    verdict = next(filter(None, others), None) or _silent(status, cpu_s, in_time, job)
    if not isinstance(walls, dict):
        verdict = ("error", walls[1] if walls else "its process ended before it began", "")
        walls = {}
    named = zip(("outcome", "error", "line"), verdict, strict=True)
    return {"walls": walls} | {name: text for name, text in named if text}


def _left() -> str | None:
    try:
        leave_all()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _be_the_program(job: dict[str, Any], namespaces: str | None, number: int, word: str, writing: int) -> NoReturn:
    outcome = "error"
    try:
        null = os.open("/dev/null", os.O_RDWR)
        for each in range(3):
            os.dup2(null, each)
        walls = raise_walls(job, namespaces, number)
        scratch = str(Path.cwd())
        os.environ.update(HOME=scratch, TMPDIR=scratch)
        _say(writing, word, walls)
        if missing := [limit for limit in job["require"] if "missing" in walls[limit]]:
            _say(writing, word, (outcome, f"not held: {', '.join(missing)}", ""))
        else:
            outcome = "failed"  # from here on an exception, such as an interrupt of this thread, is the program's doing
            _forget()
            _say(writing, word, run(job))
    except BaseException as error:  # noqa: BLE001 - the warden says it
        _say(writing, word, (outcome, f"{type(error).__name__}: {error}"[:MOST_TEXT], ""))
    finally:
        _exit(0)


def _forget() -> None:
    """Leave these modules out of what a program can import."""
    sys.path.pop()
    for name in [name for name in sys.modules if name.startswith("themis_plugin_code")]:
        del sys.modules[name]
    vars(sys.modules["__main__"]).clear()


def _say(writing: int, word: str, what: Any) -> None:
    # No function here that a program can replace by another, as it could `json.dumps`.
    write(writing, f"{word} {what!a}\n".encode("ascii"))


def _listen(reading: int, alive: int, until: float) -> bytes:
    """What is said until the end of it, of the time, or of Themis."""
    said = b""
    watched = select.poll()
    watched.register(reading, select.POLLIN)
    watched.register(alive, select.POLLIN)
    while (left := until - time.monotonic()) > 0:
        ready = [each for each, _ in watched.poll(1000 * left)]
        if alive in ready:
            raise SystemExit  # the program ends with its warden
        if reading in ready:
            part = os.read(reading, MOST_SAID)
            if not part:
                break
            said = (said + part)[:MOST_SAID]
    return said


def _ended(child: int, until: float) -> tuple[int, float, bool]:
    """Wait for a process, and kill it when the time is over: its status, seconds of CPU, and whether it was in time."""
    in_time = True
    while (ended := os.wait4(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > until:
            in_time = False
            os.kill(child, signal.SIGKILL)
            ended = os.wait4(child, 0)
            break
        time.sleep(0.001)
    _, status, used = ended
    return status, used.ru_utime + used.ru_stime, in_time


def _read(line: bytes, word: str) -> Any:
    """What a line of the harness says; None if it is of somebody who does not know the word."""
    said, _, what = line.partition(b" ")
    return ast.literal_eval(what.decode("ascii")) if said.decode("ascii", "replace") == word else None


def _silent(status: int, cpu_s: float, in_time: bool, job: dict[str, Any]) -> Verdict:
    """What a process without a verdict came to."""
    if not in_time:
        return "timeout", f"it took longer than {job['wall_s']:g} s", ""
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGXCPU):
        if cpu_s > job["cpu_s"] / 2:  # the kernel counts for its limit by ticks, and here exactly
            return "timeout", f"it took longer than {job['cpu_s']} s of CPU time", ""
        return "refused", "the system killed it, as it does when memory is short", ""
    if os.WIFSIGNALED(status):
        return "failed", f"signal {signal.Signals(os.WTERMSIG(status)).name} ended it", ""
    return "failed", "it ended its process before the tests were through", ""
