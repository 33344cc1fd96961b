"""A worker that is a process of this machine.

Its standard input is held open, and nothing is written to it. It ends when the process that started the worker does,
whatever killed that: so a worker that reads it to its end knows that nobody watches it any longer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from themis_workers.worker import RunningWorker, WorkerEnd

__all__ = ["WorkerProcess", "tail_of"]

_TAIL_BYTES = 8_000


class WorkerProcess(RunningWorker):
    """A process whose last line on standard output is its `WorkerEnd` as JSON, if it came to say one."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        working_dir: Path | None = None,
    ) -> None:
        """Start it. What it writes goes into `folder`: `NAME.out` and `NAME.log`. `environment` is added to this
        process's. Raises OSError if it can't be started."""
        self._name = name
        self._out, self.log = folder / f"{name}.out", folder / f"{name}.log"
        with self._out.open("wb") as out, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=log,
                cwd=working_dir,
                env={**os.environ, **(environment or {})},
                # A session of its own: Ctrl-C in a terminal is for whoever started it, who passes it on.
                start_new_session=True,
            )
        self._end: WorkerEnd | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> WorkerEnd | None:
        if self._end is None and (code := self._process.poll()) is not None:
            self._end = self._told(code)
            if self._process.stdin is not None:
                self._process.stdin.close()
        return self._end

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)  # SIGINT is ignored by what a script starts in the background

    def kill(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                # With what it started: those are of its session, unless they made one of their own.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def log_tail(self) -> str:
        return tail_of(self.log)

    def _told(self, code: int) -> WorkerEnd:
        lines = tail_of(self._out, 1_000_000).strip().splitlines()
        if lines:
            with suppress(ValueError, TypeError):
                return WorkerEnd.from_dict(json.loads(lines[-1]))
        if code < 0:
            return WorkerEnd(code, f"killed by {_signal_name(-code)}")
        return WorkerEnd(code, f"it ended with exit code {code} without saying why")


def tail_of(file: Path, size: int = _TAIL_BYTES) -> str:
    """The end of a text file, from the beginning of a line on; empty if it can't be read."""
    try:
        with file.open("rb") as opened:
            length = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, length - size))
            text = opened.read().decode(errors="replace")
    except OSError:
        return ""
    return text if length <= size else text.partition("\n")[2] or text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
