"""What runs on the nodes of the cluster: a look at their environment, and the actor that holds a worker.

The worker is a process of the actor, not the actor itself: so the actor answers while the worker computes, a signal
reaches it, and what it writes can be read. Its standard input ends with the actor, whatever killed that, and then it
ends too.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from themis_core import ThemisError, WorkOrder, worker_command
from themis_workers import WorkerEnd, WorkerProcess

__all__ = ["WorkerActor", "look_around"]


def look_around(order: Mapping[str, Any], passed: Mapping[str, str], sign: str) -> dict[str, Any]:
    """What is not as it is at the driver on this node.

    `host`; `differences`: of versions; `missing`: a file; `absent`: variables that are not set; `store`: what is wrong
    with the store as it is reached from here. `sign` is the name of a file in each folder of the store.
    """
    told = WorkOrder.from_dict(order)
    files = [each for each in (told.spec, told.project) if isinstance(each, str)]
    found: dict[str, Any] = {
        "host": socket.gethostname(),
        "differences": told.differences(),
        "missing": next((each for each in files if not Path(each).exists()), ""),
        "absent": [name for name in told.variables if name not in os.environ and name not in passed],
        "store": "",
    }
    if not found["missing"] and (told.allow_differing or not found["differences"]):
        with _set(passed):
            found["store"], needless = _seen_store(told, sign)
        found["absent"] = [name for name in found["absent"] if name not in needless]
    return found


def _seen_store(order: WorkOrder, sign: str) -> tuple[str, set[str]]:
    """What is wrong with the store, and which variables it names that nobody needs here, since it was opened."""
    try:
        backend, folder = order.storage()
        elsewhere = backend.only_here(folder)
        with closing(backend.open(folder, mode="read")) as store:
            if not store.is_held(order.run_id):
                told = [f"storage.{each.setting}: {each.advice}" for each in elsewhere]
                return "; ".join(["the store there is another one, for this run is not at work in it", *told]), set()
    except ThemisError as error:
        return str(error), set()
    for each in elsewhere:
        if each.folder is not None and not (each.folder / sign).exists():
            return f"storage.{each.setting}: {each.advice}", set()
    named = [getattr(backend, name) for name in type(backend).model_fields if name.endswith("_env")]
    return "", {each for each in named if isinstance(each, str)}


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Have variables in this process for a while; Ray uses it again."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class WorkerActor:
    """Holds one worker, which begins with `begin`."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._folder = Path(tempfile.mkdtemp(prefix="themis-worker-"))
        self._worker: WorkerProcess | None = None
        self._failed = "it was not begun"

    def begin(self, environment: Mapping[str, str]) -> None:
        """Start the worker. `environment` is what was asked to be passed on."""
        name = str(self._order["name"])
        file = self._folder / f"{name}.json"
        try:
            file.write_text(json.dumps(self._order), encoding="utf-8")
            self._worker = WorkerProcess(name, worker_command(file), self._folder, environment=environment)
        except OSError as error:
            self._failed = f"its process could not be started: {error}"

    def poll(self) -> dict[str, Any]:
        """How it is: `end` (None while it is at work), `log` (its tail), `host`, `actor` and `pid` (processes)."""
        if self._worker is None:
            end: WorkerEnd | None = WorkerEnd(None, self._failed)
        else:
            end = self._worker.poll()
        return {
            "end": None if end is None else end.to_dict(),
            "log": self._worker.log_tail() if self._worker else "",
            "host": socket.gethostname(),
            "actor": os.getpid(),
            "pid": self._worker.pid if self._worker else 0,
        }

    def stop(self) -> None:
        """Ask the worker to end in good order."""
        if self._worker is not None:
            self._worker.stop()

    def kill(self) -> None:
        """End the worker at once, and remove what it wrote."""
        if self._worker is not None:
            self._worker.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
