"""How a command ends when it is told to: SIGINT in 130, SIGTERM in 143, SIGHUP in 129.

The first signal ends in good order what asked for it, and all else at once. After the second one the process ends,
whatever goes on in it.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from themis_interrupts.listening import listen

__all__ = ["INTERRUPTED", "exit_code", "listen_to_signals", "leave"]

INTERRUPTED = 130
LEAVE_S = 1.2
"""Seconds that the second signal leaves for closing what is open."""
THREADS_S = 10.0
"""Seconds that threads and processes which were left behind have to end in, once the command is done."""

_received: list[int] = []


def listen_to_signals(at_once: str = "ended at once") -> None:
    """Be told of signals from here on; those that were ignored when the command began stay ignored.

    `at_once` is what is said when the second one ends the process.
    """
    listen(partial(_note, at_once))


def exit_code(code: object) -> Any:
    """The exit code of a command that ended with `code`: that of the signal, if it was one that ended it."""
    return 128 + _received[-1] if code == INTERRUPTED and _received else code


def leave(code: Any, threads_left: str = "threads that were left behind did not end") -> NoReturn:
    """End the process, as soon as threads and processes that were left behind allow; they may never return.

    `threads_left` is what is said if they don't.
    """
    if len(_received) > 1:
        sys.stderr.flush()
        os._exit(code)  # the interpreter's own end can take long, and the second signal gave it no time
    if _is_waited_for():
        number = code if isinstance(code, int) else int(code is not None)
        _thread.start_new_thread(_end, (THREADS_S, number, threads_left))
    sys.exit(code)


def _is_waited_for() -> bool:
    """Whether something is at work that the interpreter waits for at its end: a thread, or a process."""
    if any(not each.daemon and each is not threading.main_thread() for each in threading.enumerate()):
        return True
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and bool(processes.active_children())


def _note(at_once: str, number: int) -> None:
    _received.append(number)
    if len(_received) == 2:
        # Not `threading.Thread`: its locks may be held by the very code that the signal interrupted.
        _thread.start_new_thread(_end, (LEAVE_S, 128 + number, at_once))


def _end(after_s: float, code: int, why: str) -> None:
    time.sleep(after_s)
    with suppress(OSError):
        os.write(2, f"{why}\n".encode())
    with suppress(Exception):  # what the command printed
        sys.stdout.flush()
    os._exit(code)
