"""Paths that specs and commands name: what they mean, what is there, and why that can't be told. It opens nothing."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

from themis_core.errors import SpecError

__all__ = ["PathKind", "current_folder", "path_kind", "resolve_path"]

PathKind = Literal["file", "folder", "other", "nothing"]


def resolve_path(given: str | Path, base_dir: Path) -> Path:
    """Return the path that a spec means: `~` is the user's home, and relative paths start at `base_dir`.

    Raises SpecError if it can't be a path: `~name` of nobody, or a NUL in it.
    """
    if "\0" in str(given):
        raise SpecError(f"{str(given)!r} can't be a path: it holds a NUL character")
    try:
        return base_dir / Path(given).expanduser()
    except RuntimeError as error:
        name = Path(given).parts[0]
        raise SpecError(f"there is no home folder for {name}: write the path out", path=str(given)) from error


def path_kind(path: Path) -> PathKind:
    """Return what is at a path, links followed; `nothing` also if a folder on the way is missing.

    Raises SpecError if that can't be told: a folder that may not be searched, a name that is too long, links in a ring.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except (OSError, ValueError) as error:
        raise SpecError(f"can't be looked at: {_reason(error)}", path=_short(path)) from error
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def current_folder() -> Path:
    """Return the current folder. Raises SpecError if it has been removed."""
    try:
        return Path.cwd()
    except OSError as error:
        message = f"the current folder can't be used ({_reason(error)}): change to one that is there, by cd"
        raise SpecError(message) from error


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"
