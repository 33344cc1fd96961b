"""`themis work`, which launchers start: it is in no help, for nobody types it."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import click

from themis_core.errors import PluginError, ThemisError
from themis_output import echo

__all__ = ["work"]

_GONE = "whoever started this worker is gone: it ends in good order, and what arrives is saved\n"


@click.command(hidden=True)
@click.argument("order", type=click.Path(path_type=Path))
def work(order: Path) -> None:
    """Work on a run as one of its workers, by the order in the file ORDER; the last line printed is how that ended."""
    from themis_core import session
    from themis_workers import WorkerEnd

    # What it waits for is in its reports, which the driver shows; Ctrl-C is the driver's to tell of.
    logging.getLogger("themis.progress").setLevel(logging.ERROR)
    threading.Thread(target=_end_with_stdin, name="themis-watched", daemon=True).start()
    try:
        end = session.work(session.WorkOrder.from_dict(_read(order)))
    except ThemisError as error:
        end = WorkerEnd(error.exit_code, str(error))
    echo(json.dumps(end.to_dict()))
    click.get_current_context().exit(end.exit_code or 0)


def _read(order: Path) -> dict[str, object]:
    try:
        found = json.loads(order.read_bytes())
    except (OSError, ValueError) as error:
        raise PluginError(f"the order {order} can't be read: {error}") from None
    if not isinstance(found, dict):
        raise PluginError(f"the order {order} is no mapping")
    return found


def _end_with_stdin() -> None:
    """Wait until standard input ends, which whoever started the worker holds open as long as it lives."""
    try:
        while os.read(sys.stdin.fileno(), 4096):
            pass
    except (OSError, ValueError, AttributeError):  # it was closed before
        pass
    sys.stderr.write(_GONE)
    os.kill(os.getpid(), signal.SIGTERM)
