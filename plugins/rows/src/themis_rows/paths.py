"""From a path as users write it to the files that it means; no reading."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path

from themis_core import SpecError, path_kind, resolve_path, shown_path

__all__ = ["matching_files"]


def matching_files(written: str, base_dir: Path, values: Mapping[str, str] | None = None) -> list[Path]:
    """Return the files that a path means: the one of that name, or a glob's matches in sorted order.

    `values` are put in the place of their keys, such as `{split}`; what is in them is no pattern. `~` is expanded, and
    a relative path starts at `base_dir`. Raises SpecError that names the nearest existing file if there is none.
    """
    file = base_dir / resolve_path(_filled(written, values or {}), Path())
    kind = path_kind(file)
    if kind == "folder":
        raise SpecError(f"this is a folder: name its files, such as {written}/*", path=shown_path(file))
    # A name that exists means itself, even with a bracket in it.
    if kind != "nothing" or not glob.has_magic(written):
        return [_regular(file)]
    pattern = _filled(written, {name: glob.escape(value) for name, value in (values or {}).items()})
    # `Path.glob` takes no absolute patterns, and a bracket in the name of `base_dir` is no pattern.
    found = glob.glob(str(resolve_path(pattern, Path())), root_dir=base_dir, recursive=True)  # noqa: PTH207
    files = [path for path in (base_dir / name for name in sorted(found)) if path_kind(path) == "file"]
    if not files:
        raise SpecError("no file matches this pattern", path=shown_path(file))
    return files


def _filled(written: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        written = written.replace(name, value)
    return written


def _regular(path: Path) -> Path:
    kind = path_kind(path)
    if kind == "file":
        return path
    if kind != "nothing":
        raise SpecError("this is no regular file", path=shown_path(path))
    raise SpecError(f"no such file{_nearest(path)}", path=shown_path(path))


def _nearest(path: Path) -> str:
    import difflib

    folder = path.parent
    if path_kind(folder) != "folder":
        return f"; the folder {shown_path(folder)} does not exist"
    try:
        names = sorted(each.name for each in folder.iterdir())
    except OSError:  # it may be searched and not read
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f". Did you mean {shown_path(folder / close[0])!r}?" if close else ""
