"""Starts workers as actors of a Ray cluster, and says where they wait."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Under `uv run`, Ray would copy the whole current folder to the cluster, unasked, and make an environment of it there.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

import ray
from ray.exceptions import RayActorError, RayError

from themis_core import Launcher, Needs, SpecError, WorkOrder, counted
from themis_plugin_ray.nodes import check_nodes
from themis_plugin_ray.remote import WorkerActor
from themis_plugin_ray.resources import Wanted, fitting, in_words
from themis_workers import RunningWorker, WorkerEnd

__all__ = ["RayLauncher"]

CONNECT_S = 15.0
"""Seconds that whoever listens at the cluster's address has to answer."""
ASK_S = 0.5
"""Seconds between two questions to an actor."""
KILL_S = 2.0
"""Seconds that an actor has to end its worker before it is ended itself."""


class RayLauncher(Launcher):
    """Workers are actors, each with its resources; a node that is lost takes its actors with it, and they are replaced.

    In a process that is connected to a cluster already, that connection is used, and left open.
    """

    def __init__(
        self,
        address: str = "auto",
        *,
        wanted: Wanted | None = None,
        working_dir: Path | None = None,
        pass_env: Sequence[str] = (),
        wait_s: float = 300.0,
    ) -> None:
        """`pass_env` names variables whose values workers are handed: all else they have from their nodes."""
        self._address = address
        self._wanted = wanted or Wanted()
        self._working_dir = working_dir
        self._pass_env = tuple(pass_env)
        self._wait_s = wait_s
        self._given = Needs()
        self._connected = False
        self._workers: list[_Actor] = []
        self.last_at_work = time.monotonic()

    def check(self, order: WorkOrder, needs: Needs, workers: int) -> None:
        """Connect, and refuse nodes that have other versions, or lack the spec, a variable or the store."""
        self._given = self._wanted.given(needs)
        if absent := [name for name in self._pass_env if name not in os.environ]:
            raise SpecError(f"--pass-env: {', '.join(absent)} is not set here, so there is nothing to pass on")
        moved = self._moved(order)
        self._connect()
        alive = [node for node in ray.nodes() if node["Alive"]]
        # Where no worker has room, none will be: such a node need not have what workers need.
        roomy = [node for node in alive if fitting([node], self._given)]
        check_nodes(order, moved, roomy or alive, self._passed())
        self.last_at_work = time.monotonic()

    def start(self, order: WorkOrder) -> RunningWorker:
        given = self._given
        options = {
            "num_cpus": given.cpus,
            "num_gpus": given.gpus,
            "max_restarts": 0,
            "scheduling_strategy": "SPREAD",
            **({"memory": given.memory_bytes} if given.memory_bytes else {}),
        }
        actor = ray.remote(WorkerActor).options(**options).remote(self._moved(order).to_dict())
        # By a call, since Ray's control service stores what an actor is made with.
        actor.begin.remote(self._passed())
        worker = _Actor(order.name, actor, self)
        self._workers.append(worker)
        return worker

    def close(self, *, keep_logs: bool) -> None:
        if self._connected:
            with _signals_kept():
                ray.shutdown()
            self._connected = False

    def waiting(self, since: float) -> str:
        """What a worker waits for that has no place yet."""
        room = fitting(ray.nodes(), self._given)
        return (
            f"waiting {time.monotonic() - since:.0f} s for a node with {in_words(self._given)} free "
            f"(the cluster has room for {counted(room, 'such worker')} in all)"
        )

    def given_up(self) -> WorkerEnd | None:
        """The end of a worker without a place, if nobody is at work and nobody was for too long."""
        if any(each.is_placed for each in self._workers):
            self.last_at_work = time.monotonic()
        if time.monotonic() - self.last_at_work < self._wait_s:
            return None
        room = fitting(ray.nodes(), self._given)
        do = "add nodes, or ask for less (--gpus-per-worker, --cpus-per-worker, --memory-per-worker)"
        if room:
            do = f"wait until what else runs there has ended (--wait-for-resources), or use --workers {room}"
        return WorkerEnd(
            SpecError.exit_code,
            f"no worker found a place for {self._wait_s:.0f} s: each wants {in_words(self._given)}, and the cluster "
            f"has room for {counted(room, 'such worker')} in all. {do[0].upper()}{do[1:]}",
        )

    def _passed(self) -> dict[str, str]:
        return {name: os.environ[name] for name in self._pass_env}

    def _moved(self, order: WorkOrder) -> WorkOrder:
        return order if self._working_dir is None else order.within(self._working_dir)

    def _connect(self) -> None:
        if ray.is_initialized():
            if self._working_dir is not None:
                raise SpecError("this process is connected to Ray already, so its workers get no other working folder")
            return
        environment = {} if self._working_dir is None else {"working_dir": str(self._working_dir)}
        if self._working_dir is not None and not self._working_dir.is_dir():
            raise SpecError(f"--working-dir: {self._working_dir} is no folder")
        try:
            _answers(os.environ.get("RAY_ADDRESS", "auto") if self._address == "auto" else self._address)
            with _signals_kept():
                ray.init(
                    self._address,
                    namespace="themis",
                    runtime_env=environment,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                    **({"include_dashboard": False} if self._address == "local" else {}),
                )
        except (ConnectionError, RuntimeError, ValueError, OverflowError, OSError, RayError) as error:
            raise SpecError(
                f"no Ray cluster answers at {self._address!r} ({_first_line(error)}): start one with "
                "`ray start --head`, or say where it is with --address"
            ) from error
        self._connected = True


def _answers(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT, which takes Ray minutes; other forms are Ray's to judge."""
    host, _, port = address.rpartition(":")
    if "/" not in host and host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()


class _Actor(RunningWorker):
    """A worker that an actor holds, or will hold as soon as there is a place for it."""

    def __init__(self, name: str, actor: Any, launcher: RayLauncher) -> None:
        self._name = name
        self._actor = actor
        self._launcher = launcher
        self._since = time.monotonic()
        self._asked: Any = None
        self._next = 0.0
        self._seen: dict[str, Any] = {}
        self._end: WorkerEnd | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def is_placed(self) -> bool:
        return bool(self._seen) and self._end is None

    def poll(self) -> WorkerEnd | None:
        if self._end is not None:
            return self._end
        if self._asked is None and time.monotonic() >= self._next:
            self._asked = self._actor.poll.remote()
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            self._hear()
        elif not self._seen:
            self._end = self._launcher.given_up()
        if self._end is not None:
            self.kill()
        return self._end

    def stop(self) -> None:
        if self._seen:
            self._actor.stop.remote()
        else:  # it has no place, or its process is not there yet
            self._end = WorkerEnd(130, "stopped before it began")
            ray.kill(self._actor)

    def kill(self) -> None:
        """End the actor, and its worker first, which would end by itself, but in good order."""
        if self._seen:
            with suppress(RayError):
                ray.get(self._actor.kill.remote(), timeout=KILL_S)
        ray.kill(self._actor)
        self._end = self._end or WorkerEnd(-9, "killed")

    def log_tail(self) -> str:
        return str(self._seen.get("log", ""))

    @property
    def note(self) -> str:
        return "" if self._seen or self._end else self._launcher.waiting(self._since)

    def _hear(self) -> None:
        asked, self._asked = self._asked, None
        self._next = time.monotonic() + ASK_S
        try:
            self._seen = ray.get(asked)
        except RayActorError as error:
            where = f" on {self._seen['host']}" if self._seen else ""
            self._end = WorkerEnd(None, f"its actor{where} is gone: {_why(error)}")
        except RayError as error:
            self._end = WorkerEnd(None, f"its actor failed: {_first_line(error)}")
        else:
            if self._seen["end"] is not None:
                self._end = WorkerEnd.from_dict(self._seen["end"])


def _why(error: RayActorError) -> str:
    """What of Ray's long words says why an actor died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = ("died", "killed", "cause", "node", "Node")
    telling = [line for line in lines if any(word in line for word in words)]
    return (telling or lines or [type(error).__name__])[-1][:300]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Have the signals' handlers as before: Ray sets its own, which end the process without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Callable[..., Any] | int | None] = {each: signal.getsignal(each) for each in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
