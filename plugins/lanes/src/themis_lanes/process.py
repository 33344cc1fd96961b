"""One worker process, as its parent sees it: started, asked one thing at a time, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from themis_lanes import worker
from themis_lanes.errors import Crashed, Overdue

__all__ = ["WorkerProcess"]

CHUNK: Final = 65_536
ARRIVING_S: Final = 1.0
"""What an answer gets that has begun to arrive when its time is up: its call is done, and this side may be late."""
ENDING_S: Final = 2.0
"""How long a process may take between the end of its socket and its own."""


_starting = threading.RLock()
"""Held while a worker starts. A copy of this process that is made meanwhile would hold what only the worker may."""
_living: WeakSet[WorkerProcess] = WeakSet()


class _Ended(Exception):
    """The other end of the socket was closed."""


class WorkerProcess:
    """A fresh interpreter in a session of its own, with its end of a socket.

    It ends with this process, however that ends: it holds the other end of a pipe, the lifeline.
    """

    def __init__(self) -> None:
        self.known: set[bytes] = set()
        """The targets that were loaded."""
        self.is_settled = False
        """Whether it knows where modules are, and its limits."""
        self.label = ""
        self.since = 0.0
        self.computed_s = 0.0
        """Seconds of CPU that its last answer took, without those of processes that it started."""
        self._killed = False
        self._timer: asyncio.TimerHandle
        self._inbox = bytearray()
        self._outbox = memoryview(b"")
        self._answer: asyncio.Future[tuple[bytes, bytes]] | None = None
        self._lifeline = -1
        with _starting:
            self._socket, theirs = socket.socketpair()
            self._socket.setblocking(False)
            try:
                self._process = self._start(theirs.fileno())
            except BaseException:
                self._close()
                raise
            finally:
                theirs.close()
            _living.add(self)

    def _start(self, line: int) -> subprocess.Popen[bytes]:
        alive, self._lifeline = os.pipe()
        try:
            return _started(line, alive)
        finally:
            os.close(alive)

    def remember(self, key: bytes) -> None:
        """Note that it has loaded a target, and forgotten all others when it does so."""
        if key not in self.known and len(self.known) >= worker.MOST_TARGETS:
            self.known.clear()
        self.known.add(key)

    async def ask(self, kind: bytes, content: bytes, limit_s: float) -> tuple[bytes, bytes]:
        """Send a request; return the kind and the content of its answer.

        Raises Overdue and Crashed. After these, and after a cancellation, the worker can only be ended.
        """
        try:
            return await self._exchange(worker.HEAD.pack(worker.MAGIC, kind, 0.0, len(content)) + content, limit_s)
        except _Ended:
            raise Crashed(await self._how_it_ended()) from None

    async def _exchange(self, frame: bytes, limit_s: float) -> tuple[bytes, bytes]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[bytes, bytes]] = loop.create_future()
        self._answer = answer
        self._inbox.clear()
        self._outbox = memoryview(frame)
        self._timer = loop.call_later(limit_s, self._time_is_up, limit_s, False)
        line = self._socket.fileno()  # for a socket that it does not know, the loop asks the system what to call it
        loop.add_reader(line, self._read)
        try:
            self._write()
            if self._outbox:
                loop.add_writer(line, self._go_on_writing, loop, line)
            return await answer
        finally:
            self._timer.cancel()
            loop.remove_reader(line)
            if self._outbox:
                loop.remove_writer(line)
            self._answer = None

    def _write(self) -> None:
        try:
            while self._outbox:
                self._outbox = self._outbox[self._socket.send(self._outbox) :]
        except BlockingIOError:
            return
        except OSError:  # the other end is closed, which reading tells as well
            self._outbox = memoryview(b"")

    def _go_on_writing(self, loop: asyncio.AbstractEventLoop, line: int) -> None:
        self._write()
        if not self._outbox:
            loop.remove_writer(line)

    def _read(self) -> bool:
        """Take one chunk of what has arrived, and end the exchange if that ends it; return whether there was any."""
        try:
            chunk = self._socket.recv(CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        self._inbox += chunk
        if self._answer is None or self._answer.done():
            return False
        if not chunk:
            self._answer.set_exception(_Ended())
        elif self._inbox[: len(worker.MAGIC)] != worker.MAGIC[: len(self._inbox)]:
            self._answer.set_exception(Crashed("its process wrote to the socket that its answers come from"))
        elif len(self._inbox) >= worker.HEAD.size:
            _, kind, self.computed_s, length = worker.HEAD.unpack_from(self._inbox)
            if len(self._inbox) >= worker.HEAD.size + length:
                self._answer.set_result((kind, bytes(self._inbox[worker.HEAD.size :])))
        return True

    def _time_is_up(self, limit_s: float, arriving: bool) -> None:
        while self._read():  # what arrived in time counts, however late this loop is
            pass
        if self._answer is None or self._answer.done():
            return
        if self._inbox and not arriving:
            self._timer = self._answer.get_loop().call_later(ARRIVING_S, self._time_is_up, limit_s, True)
        else:
            self._answer.set_exception(Overdue(limit_s))

    async def _how_it_ended(self) -> str:
        until = time.monotonic() + ENDING_S
        while not self.is_gone():
            if time.monotonic() > until:
                return "its process closed the socket that its answers come from"
            await asyncio.sleep(0.002)
        code = self._process.returncode
        return f"its process ended with exit code {code}" if code >= 0 else f"its process was ended by {_signal(-code)}"

    def is_usable(self) -> bool:
        """Whether it waits for a request: it has neither ended nor said anything unasked."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def wait(self, limit_s: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(limit_s)

    def kill(self) -> None:
        """End the process, and what it started in its session's first process group, at once.

        If it has ended, its number still stands for what is left of the group; no other process has it so soon.
        """
        if not self._killed:
            self._killed = True
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a process that has ended
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it and close this end. It is gone a moment later."""
        self.kill()
        self._close()

    def _close(self) -> None:
        self._socket.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _leave_to_the_parent() -> None:
    """In a copy of this process, close what would hide the end of the parent from its workers."""
    _starting.release()
    for each in _living:
        each._close()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_leave_to_the_parent
    )


def _started(line: int, lifeline: int) -> subprocess.Popen[bytes]:
    # By its path, as the child can't find this package before it knows the parent's sys.path. With -P, the folder of
    # the script and the working directory are no places of modules. There is no preexec_fn: it is not safe where
    # there are threads.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    return subprocess.Popen(
        [sys.executable, *flags, "-P", worker.__file__, str(line), str(lifeline)],
        stdin=subprocess.DEVNULL,
        stdout=_standard_error(),
        pass_fds=(line, lifeline),
        start_new_session=True,
    )


def _standard_error() -> int:
    try:
        os.fstat(2)
    except OSError:  # the parent was started without one
        return subprocess.DEVNULL
    return 2


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
