"""The worker process, seen from the process that scores: one for all comparisons, killed when one takes too long."""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from threading import Lock
from typing import Any, Final

__all__ = ["Worker", "shared_worker"]

START: Final = 120.0
"""Seconds that a start may take. It imports sympy, which takes one on an idle machine."""


class Worker:
    """Asks a process of its own, which starts with the first request and is kept for those that follow.

    The process ends with its standard input, so with the process that started it, however that ended.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = Lock()

    @property
    def pid(self) -> int | None:
        """The id of the process; None if there is none."""
        return None if self._process is None else self._process.pid

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the reply to one request. Raises TimeoutError when it takes longer, OSError if none can be had."""
        with self._lock:
            try:
                process = self._running()
                return self._exchange(process, {**request, "seconds": seconds}, seconds)
            except BaseException:  # a reply that comes later must not be read as that to the next request
                self._end()
                raise

    def close(self) -> None:
        """End the process, if there is one; the next request starts another."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner != os.getpid():
            self._process = None  # of the process that this one was forked from
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process, self._owner = _started(), os.getpid()
            _receive(self._process, START)
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert process.stdin is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        return _receive(process, seconds)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _started() -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for the run, which ends in good order. `-P`: no module of the working folder.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "themis_plugin_math.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _receive(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """One line of the process, as it came. Raises TimeoutError, or OSError if the process ended."""
    assert process.stdout is not None
    deadline, received = time.monotonic() + seconds, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not received.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"it took longer than {seconds:g} s")
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                code = process.wait()
                if code == -signal.SIGALRM:
                    raise TimeoutError(f"it took longer than {seconds:g} s")
                raise OSError(f"the process that compares ended with code {code}")
            received += part
    return dict(json.loads(received))


_shared: Final = Worker()
atexit.register(_shared.close)


def shared_worker() -> Worker:
    """The one worker of this process; it ends at exit."""
    return _shared
