"""How messages say paths."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["shown_path"]


def shown_path(path: Path) -> str:
    """Return a path as messages show it: relative to the current folder where it lies in it."""
    try:
        here = os.getcwd()  # noqa: PTH109 - for the error of a removed folder, which is no reason to say less
    except OSError:
        return str(path)
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
