"""The options by which a command finds the store that it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from themis_output import format_option

__all__ = ["store_options"]


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    spec = click.option(
        "--spec",
        "--storage-from",
        "spec",
        type=click.Path(path_type=Path),
        metavar="SPEC",
        help="Spec file whose storage is read; ./.themis by default.",
    )
    project = click.option(
        "--project", type=click.Path(path_type=Path), metavar="FILE", help="Project file whose storage is read."
    )
    return spec(project(format_option(command)))
