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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from themis_core import WorkOrder, worker_command
from themis_workers import WorkerProcess

__all__ = ["WorkerActor", "look_around"]


def look_around(order: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as it is at the driver on this node: `host, differences, missing`, the last one a file."""
    told = WorkOrder.from_dict(order)
    files = [each for each in (told.spec, told.project) if isinstance(each, str)]
    missing = next((each for each in files if not Path(each).exists()), "")
    return {"host": socket.gethostname(), "differences": told.differences(), "missing": missing}


class WorkerActor:
    """Holds one worker. `environment` is what was asked to be passed on."""

    def __init__(self, order: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="themis-worker-"))
        name = str(order["name"])
        file = self._folder / f"{name}.json"
        file.write_text(json.dumps(order), encoding="utf-8")
        self._worker = WorkerProcess(name, worker_command(file), self._folder, environment=environment)

    def poll(self) -> dict[str, Any]:
        """How it is: `end` (None while it is at work), `log` (its tail), `host`, `actor` and `pid` (processes)."""
        end = self._worker.poll()
        return {
            "end": None if end is None else end.to_dict(),
            "log": self._worker.log_tail(),
            "host": socket.gethostname(),
            "actor": os.getpid(),
            "pid": self._worker.pid,
        }

    def stop(self) -> None:
        """Ask the worker to end in good order."""
        self._worker.stop()

    def kill(self) -> None:
        """End the worker at once, and remove what it wrote."""
        self._worker.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
