"""The shards as processes of this machine: the same commands as the other recipes, so that they can be tried out.

One process with the run's limits is faster than this where the machine has one core, and simpler on any.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from themis_interrupts import in_good_order
from themis_plugin_shards.ends import OF_ALL, OF_ITSELF

__all__ = ["Ended", "Processes", "is_over", "last_lines"]

POLL_S: Final = 0.05


@dataclass(frozen=True)
class Ended:
    """One process of one shard, after its end."""

    shard: int
    exit_code: int
    """128 and the number of the signal, if one ended it."""
    seconds: float
    log: Path
    tries_left: int


@dataclass
class _Running:
    shard: int
    process: subprocess.Popen[bytes]
    since: float
    log: Path


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
        self._waiting = deque((shard, tries) for shard in range(1, count + 1))
        self._running: list[tuple[_Running, int]] = []
        self.stopped = False
        """Whether no further one is started: somebody said so, or all of them would end as one did."""

    def run(self, told: Callable[[Ended], None]) -> dict[int, int]:
        """Run all of them. Returns the last exit code of each shard that was begun."""
        codes: dict[int, int] = {}
        try:
            with in_good_order(self._stop):
                while self._running or (self._waiting and not self.stopped):
                    self._start()
                    time.sleep(POLL_S)
                    for ended in self._ended():
                        codes[ended.shard] = ended.exit_code
                        told(ended)
        finally:
            for running, _ in self._running:  # a second signal, or an error here
                with suppress(ProcessLookupError):
                    running.process.kill()
                running.process.wait()
        return codes

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._at_once and not self.stopped:
            shard, tries = self._waiting.popleft()
            log = self._logs / f"shard-{shard}-of-{self._count}.log"
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [*self._command, "--shard", f"{shard}/{self._count}"],
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
            self._running.append((_Running(shard, process, time.monotonic(), log), tries - 1))

    def _ended(self) -> list[Ended]:
        over = [(each, tries) for each, tries in self._running if each.process.poll() is not None]
        self._running = [(each, tries) for each, tries in self._running if each.process.returncode is None]
        found = []
        for each, tries in over:
            code = each.process.returncode
            code = 128 - code if code < 0 else code
            again = not (is_over(code) or code in OF_ALL or self.stopped) and tries > 0
            if again:
                self._waiting.append((each.shard, tries))
            self.stopped = self.stopped or code in OF_ALL
            took = time.monotonic() - each.since
            found.append(Ended(each.shard, code, took, each.log, tries if again else 0))
        return found

    def _stop(self) -> None:
        self.stopped = True
        for running, _ in self._running:
            with suppress(ProcessLookupError):
                os.kill(running.process.pid, signal.SIGTERM)


def is_over(code: int) -> bool:
    """Whether a shard has done what it could: another try would change nothing."""
    return code == 0 or code in OF_ITSELF


def last_lines(log: Path, most: int = 12, most_bytes: int = 16_384) -> list[str]:
    """The end of what a process printed."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
        return file.read().decode(errors="replace").splitlines()[-most:]
