"""Where workers are started: the seam for launchers of plugins, and the one that starts processes of this machine."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from themis_core.components import Needs
from themis_core.errors import SpecError
from themis_core.session.orders import WorkOrder
from themis_wording import counted
from themis_workers import Machine, RunningWorker, Seats, WorkerProcess

__all__ = ["Launcher", "LocalLauncher", "worker_command"]


class Launcher(ABC):
    """Starts workers of a run somewhere. Used from one thread, for one run; all methods return soon."""

    def check(self, order: WorkOrder, needs: Needs, workers: int) -> None:  # noqa: B027 - may be left out
        """Look whether so many workers, each holding `needs`, could work on an order; before anything is called.

        Raise SpecError or PluginError with a message that says what to do.
        """

    @abstractmethod
    def start(self, order: WorkOrder) -> RunningWorker:
        """Start a worker that calls `work(order)`, and return at once; its `name` is that of the order.

        SpecError, PluginError and StorageError end the run. All else is a worker that was lost: another one takes its
        place, within the budget.
        """

    def close(self, *, keep_logs: bool) -> None:  # noqa: B027 - may be left out
        """Let go of what is held. Called once, when no worker is at work any longer, also after errors."""

    @property
    def logs(self) -> str:
        """Where whole logs of workers are when the run is over, for people; empty if nowhere."""
        return ""


def worker_command(order: Path) -> list[str]:
    """The command of a process that works on the order in a file; the last line it prints is its `WorkerEnd` as JSON.

    It ends in good order when its standard input ends.
    """
    return [sys.executable, "-m", "themis_core", "work", str(order)]


class LocalLauncher(Launcher):
    """Starts processes of this machine. Each sees the GPUs that its engines need, by `CUDA_VISIBLE_DEVICES`."""

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine or Machine.here()
        self._seats = Seats(self._machine.gpus)
        self._needs = Needs()
        self._seated: list[tuple[RunningWorker, tuple[str, ...]]] = []
        self._folder: Path | None = None

    def check(self, order: WorkOrder, needs: Needs, workers: int) -> None:
        """Refuse more workers than this machine has cores, memory or GPUs for."""
        self._needs = needs
        has = self._machine
        most = [
            (int((has.cpus + 1e-9) // needs.cpus) if needs.cpus else workers, f"{needs.cpus:g} of {has.cpus} cores"),
            (_fit(needs.memory_bytes, has.memory_bytes, workers), _memory(needs.memory_bytes, has.memory_bytes)),
            (_seats(needs.gpus, len(has.gpus), workers), f"{needs.gpus:g} of {counted(len(has.gpus), 'GPU')}"),
        ]
        fits, why = min(most, key=lambda each: each[0])
        if fits < workers:
            do = f"use --workers {fits}" if fits else "choose another config of its engines"
            raise SpecError(
                f"{counted(workers, 'worker')} don't fit on this machine: the engines of each hold {why}, as "
                f"`themis plan` shows. Here, {do}, or start the workers on more machines (themis ray run)"
            )

    def start(self, order: WorkOrder) -> RunningWorker:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="themis-workers-"))
        for worker, taken in self._seated[:]:
            if worker.poll() is not None:
                self._seats.give_back(taken, self._needs.gpus)
                self._seated.remove((worker, taken))
        file = self._folder / f"{order.name}.json"
        file.write_text(json.dumps(order.to_dict()), encoding="utf-8")
        gpus = self._seats.take(self._needs.gpus) if self._needs.gpus else ()
        shown = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
        try:
            worker = WorkerProcess(order.name, worker_command(file), self._folder, environment=shown)
        except BaseException:
            self._seats.give_back(gpus, self._needs.gpus)
            raise
        if gpus:
            self._seated.append((worker, gpus))
        return worker

    def close(self, *, keep_logs: bool) -> None:
        if self._folder is not None and not keep_logs:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def logs(self) -> str:
        return str(self._folder or "")


def _fit(wanted: int, there: int | None, workers: int) -> int:
    return there // wanted if wanted and there is not None else workers


def _seats(gpus: float, there: int, workers: int) -> int:
    if not gpus:
        return workers
    return there * int(1 / gpus + 1e-9) if gpus < 1 else there // int(gpus)


def _memory(wanted: int, there: int | None) -> str:
    return f"{wanted / 1e9:.3g} of {(there or 0) / 1e9:.3g} GB of memory"
