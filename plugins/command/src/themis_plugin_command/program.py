"""One running program: asked in lines, answered in lines in any order, ended in good order or by force."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from themis_core import EngineError
from themis_plugin_command.lines import BadLine, id_of, reply_of
from themis_plugin_command.watcher import Watcher

__all__ = ["Program", "Settings"]

KEPT_OF_ERRORS: Final = 4_000
"""Bytes that are kept of what it last wrote to standard error."""
READING_S: Final = 1.0
"""What it may take to read the rest of its standard error once it has ended."""


class Settings:
    """How a program is started and ended."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        longest_line: int,
        ending_s: float,
        *,
        once: bool,
    ) -> None:
        """`once`: it is asked one thing, so its reply needs no id."""
        self.once = once
        self.argv = tuple(argv)
        self.cwd = cwd
        self.env = dict(env)
        self.longest_line = longest_line
        self.ending_s = ending_s


class Program:
    """A process in a session of its own, so that what it started ends with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._given_up: set[str] = set()
        self._errors: deque[bytes] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()
        self._watcher: Watcher | None = None
        self._over: str | None = None
        """Why there will be no reply any more."""
        self.retired = False
        """Whether it is to be asked nothing more: it has ended, or something of it did not come in time."""

    @property
    def at_work(self) -> int:
        """How many requests it has not answered."""
        return len(self._waiting)

    async def start(self) -> None:
        """Raises EngineError if it can't be started."""
        settings = self._settings
        try:
            self._process = await asyncio.create_subprocess_exec(
                *settings.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=settings.cwd,
                env=settings.env,
                limit=settings.longest_line,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self.retired = True
            raise EngineError("application_error", f"{settings.argv[0]} can't be started: {error}") from error
        with contextlib.suppress(OSError):  # without a shell it is not watched, and does its work all the same
            self._watcher = Watcher(self._process.pid, settings.ending_s)
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._drain())]

    async def ask(self, number: str, line: bytes, *, last: bool = False) -> dict[str, Any]:
        """Its reply to a line. With `last` it is sent no more, and sees the end. Raises EngineError."""
        assert self._process is not None
        assert self._process.stdin is not None
        if self._over is not None:
            raise EngineError("application_error", self._over)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            with contextlib.suppress(ConnectionError):  # it has ended, which reading tells as well
                async with self._writing:
                    self._process.stdin.write(line)
                    await self._process.stdin.drain()
                    if last:
                        self._process.stdin.close()
            return await reply
        except asyncio.CancelledError:
            self.retired = True  # it may hang; what it has in hand may still come
            self._given_up.add(number)
            raise
        finally:
            self._waiting.pop(number, None)
            if reply.done() and not reply.cancelled():
                reply.exception()

    async def end(self) -> None:
        """Let it end: the end of its input, then SIGTERM, then SIGKILL to all that it started."""
        self.retired = True
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        for signal_, seconds in ((None, self._settings.ending_s), (signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
            if signal_ is not None:
                self._signal(signal_)
            if await _ends(process, seconds):
                break
        self._signal(signal.SIGKILL)  # what it started and left behind
        if self._watcher is not None:
            self._watcher.dismiss()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        transport = getattr(process, "_transport", None)  # asyncio closes it only when all pipes have ended
        if transport is not None:
            transport.close()

    def kill(self) -> None:
        """End it at once; `end` is still to be called."""
        self.retired = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        told = ""
        try:
            while line := await self._process.stdout.readline():
                if not line.endswith(b"\n"):
                    told = "it ended in the middle of a line"
                    break
                if line.strip():
                    self._take(line)
        except BadLine as bad:
            told = str(bad)
        except ValueError:
            told = f"it wrote a line of more than {self._settings.longest_line:,} bytes"
        self.retired = True
        if told:
            self.kill()
        await self._fail(told)

    def _take(self, line: bytes) -> None:
        reply = reply_of(line)
        if self._settings.once and "id" not in reply and len(self._waiting) == 1:
            reply["id"] = next(iter(self._waiting))
        number = id_of(reply, line)
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)
        elif number not in self._given_up:
            raise BadLine(f"it wrote a reply with the id {number!r}, to which nothing is to be answered (any more)")

    async def _fail(self, told: str) -> None:
        """Tell all who wait why there is no reply."""
        assert self._process is not None
        if not told:
            await _ends(self._process, READING_S)
            code = self._process.returncode
            told = "it closed its output" if code is None else _ended(code)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(self._tasks[1]), READING_S)
        errors = b"".join(self._errors).decode("utf-8", "backslashreplace").strip()
        after = f"; it said: {errors[-KEPT_OF_ERRORS:]}" if errors else ""
        self._over = f"{told} before it answered{after}" if told.startswith("it ended with") else f"{told}{after}"
        for waiting in list(self._waiting.values()):
            if not waiting.done():
                waiting.set_exception(EngineError("application_error", self._over))

    async def _drain(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        kept = 0
        while chunk := await self._process.stderr.read(4_096):
            self._errors.append(chunk)
            kept += len(chunk)
            while kept - len(self._errors[0]) >= KEPT_OF_ERRORS:
                kept -= len(self._errors.popleft())


async def _ends(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _ended(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
