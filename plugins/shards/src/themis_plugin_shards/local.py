"""The shards as processes of this machine: the same commands as the other recipes, so that they can be tried out.

One process with the run's limits is faster than this where the machine has one core, and simpler on any.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from themis_interrupts import in_good_order
from themis_plugin_shards.ends import OF_ALL, OF_ITSELF

__all__ = ["Ended", "Processes", "is_over", "run_whole"]

POLL_S: Final = 0.05
FIRST_WAIT_S: Final = 2.0
"""Before a shard is tried again, doubled each time: a store may hold the lock of what was killed for half a minute."""
LONGEST_WAIT_S: Final = 60.0


@dataclass(frozen=True)
class Ended:
    """One process of one shard, after its end."""

    shard: int
    exit_code: int
    """128 and the number of the signal, if one ended it."""
    seconds: float
    log: Path
    again_in_s: float | None
    """When it is tried again; None: it is not."""


@dataclass
class _Waiting:
    shard: int
    tries: int
    """How often it was begun."""
    due: float


@dataclass
class _Running:
    shard: int
    tries: int
    process: subprocess.Popen[bytes]
    since: float
    log: Path
    is_asked: bool = False
    """Whether it was asked to end."""


class Processes:
    """Starts the shards, so many at once, and tells of each that ended.

    The processes are in groups of their own: Ctrl-C reaches this one alone, which asks each of them to end, once.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, count: int, *, logs: Path, at_once: int, tries: int
    ) -> None:
        self._command = command
        self._folder = folder
        self._count = count
        self._logs = logs
        self._at_once = at_once
        self._tries = tries
        self._waiting = [_Waiting(shard, 0, 0.0) for shard in range(1, count + 1)]
        self._running: list[_Running] = []
        self.stopped = False
        """Whether all are to end, and no further one is started: somebody said so, or all would end as one did."""

    def run(self, told: Callable[[Ended], None]) -> dict[int, int]:
        """Run all of them. Returns the last exit code of each shard that was begun."""
        codes: dict[int, int] = {}
        try:
            with in_good_order(self._stop):
                while self._running or (self._waiting and not self.stopped):
                    self._start()
                    self._ask()
                    time.sleep(POLL_S)
                    for ended in self._ended():
                        codes[ended.shard] = ended.exit_code
                        told(ended)
        finally:
            for running in self._running:  # a second signal, or an error here
                _kill(running.process)
        return codes

    def _start(self) -> None:
        due = [each for each in self._waiting if each.due <= time.monotonic()]
        for each in due[: max(0, self._at_once - len(self._running))]:
            if not self.stopped:
                self._waiting.remove(each)
                self._running.append(self._begun(each))

    def _begun(self, waiting: _Waiting) -> _Running:
        log = self._logs / f"shard-{waiting.shard}-of-{self._count}-try-{waiting.tries + 1}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._command, "--shard", f"{waiting.shard}/{self._count}"],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return _Running(waiting.shard, waiting.tries + 1, process, time.monotonic(), log)

    def _ended(self) -> list[Ended]:
        over = [each for each in self._running if each.process.poll() is not None]
        self._running = [each for each in self._running if each not in over]
        return [self._end_of(each) for each in over]

    def _end_of(self, each: _Running) -> Ended:
        code = each.process.returncode
        code = 128 - code if code < 0 else code
        if code in OF_ALL:
            self._stop()
        wait_s = None
        if not (is_over(code) or self.stopped) and each.tries < self._tries:
            wait_s = min(FIRST_WAIT_S * 2 ** (each.tries - 1), LONGEST_WAIT_S)
            self._waiting.append(_Waiting(each.shard, each.tries, time.monotonic() + wait_s))
        return Ended(each.shard, code, time.monotonic() - each.since, each.log, wait_s)

    def _ask(self) -> None:
        """Ask all to end if they are to, each of them once: asked again, it would end at once.

        This is not done when the signal comes: the process that is being started then would not be asked.
        """
        for running in self._running:
            if self.stopped and not running.is_asked:
                running.is_asked = True
                running.process.terminate()

    def _stop(self) -> None:
        self.stopped = True


def run_whole(command: Sequence[str], folder: Path, output: int) -> int:
    """Run a command to its end and return its exit code; it is asked to end as the shards are."""
    told: list[bool] = []
    with in_good_order(lambda: told.append(True)):
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, start_new_session=True)
        try:
            while process.poll() is None:
                if told:
                    told.clear()
                    process.terminate()
                time.sleep(POLL_S)
        finally:
            _kill(process)  # a second signal
    return process.returncode


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that has not ended, with what it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_over(code: int) -> bool:
    """Whether a shard has done what it could: another try would change nothing."""
    return code == 0 or code in OF_ITSELF
