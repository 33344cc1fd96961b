"""Which store a command means, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import click

import themis_core as themis
from themis_core import StorageBackend, Store, StoreOutdated, own_exit
from themis_output import own_stdout, store_options

__all__ = ["opened", "store_command"]


def store_command(command: Callable[..., Any]) -> click.Command:
    """Make a command that works on a store: the command receives `spec` and `project`.

    It has standard output to itself, and the exit code of a component is not its own: as the built-in commands.
    """
    return click.command()(store_options(own_stdout()(own_exit()(command))))


@contextmanager
def opened(spec: Path | None, project: Path | None, mode: Literal["read", "write"]) -> Iterator[tuple[Store, str]]:
    """Open the store that there is, and give it with its location; a command here never makes one."""
    backend, directory = themis.find_storage(spec, project=project)
    location = backend.location(directory)
    if mode == "write":
        _check_that_it_is_there(backend, directory)
    with closing(backend.open(directory, mode=mode)) as store:
        yield store, location


def _check_that_it_is_there(backend: StorageBackend, directory: Path) -> None:
    with suppress(StoreOutdated):  # it is there then, and to open it to write brings it up to date
        backend.open(directory, mode="read").close()
