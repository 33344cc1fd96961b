"""Measures one process from its start to its exit: CPU, wall time and peak memory, as the system accounts for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CLIENT_CORE", "CORES", "ROOT", "SERVER_CORE", "Figures", "cpu_so_far", "measured", "repeated"]

ROOT = Path(__file__).parents[1]
CORES = sorted(os.sched_getaffinity(0))
PINNED = len(CORES) > 1 and shutil.which("taskset") is not None
CLIENT_CORE = CORES[0] if PINNED else None
SERVER_CORE = CORES[-1] if PINNED else None
LONG_S = 30.0
"""What has taken longer than this in all is not measured again."""
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "FORCE_COLOR")
}
"""Without what would compile every module anew at each start."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one process took, start and exit included, with the processes that it waited for."""

    cpu_s: float
    """User and system time."""
    wall_s: float
    peak_mb: float
    """Of the largest process. Linux starts to count at the peak of the process that measures: keep that small."""


def measured(command: Sequence[str], core: int | None = CLIENT_CORE, output: Path | None = None) -> Figures:
    """Run a command of Python's (`-m`, ...), bound to a core if one is given, and write what it prints to a file.

    Raises RuntimeError with what it said if it does not exit with 0.
    """
    pin = [] if core is None else ["taskset", "-c", str(core)]
    with tempfile.TemporaryFile() as said, output.open("wb") if output else open(os.devnull, "wb") as printed:  # noqa: PTH123
        begin = time.perf_counter()
        process = subprocess.Popen(
            [*pin, sys.executable, *command], cwd=ROOT, env=ENVIRONMENT, stdout=printed, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)  # so that nothing waits for it again
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"exit {process.returncode} of {' '.join(command)}\n{said.read().decode()}")
    return Figures(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def cpu_so_far(pid: int) -> float:
    """Seconds of CPU that a process has taken, of all its threads. Linux only."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def repeated(once: Callable[[int], Figures], times: int) -> Figures:
    """Measure several times: the least CPU, the least wall time, and the greatest peak.

    `once` is called with 0, 1, 2, ... What takes long is measured fewer times.
    """
    begin = time.perf_counter()
    found = [once(0)]
    while len(found) < times and time.perf_counter() - begin < LONG_S:
        found.append(once(len(found)))
    return Figures(
        min(each.cpu_s for each in found), min(each.wall_s for each in found), max(each.peak_mb for each in found)
    )
