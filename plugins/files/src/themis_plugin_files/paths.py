"""From a dataset id to the files it means; no reading."""

from __future__ import annotations

import difflib
import glob
from pathlib import Path

from themis_core import DatasetSpec, SpecError, path_kind, resolve_path, shown_path

__all__ = ["files_of", "refuse_unused"]


def files_of(dataset: DatasetSpec, base_dir: Path) -> list[Path]:
    """Return the files that a dataset id names: one path, or a glob's matches in sorted order.

    `~` is expanded, `{split}` replaced by the split, and a relative path starts at `base_dir`. Raises SpecError
    that names the nearest existing file if there is none.
    """
    refuse_unused(dataset)
    given = resolve_path(_with_split(dataset), Path())
    pattern = base_dir / given
    kind = path_kind(pattern)
    if kind == "folder":
        raise SpecError(f"this is a folder: name its files, such as {dataset.dataset_id}/*", path=shown_path(pattern))
    # A name that exists means itself, even with a bracket in it.
    if kind != "nothing" or not glob.has_magic(str(given)):
        return [_regular(pattern)]
    # `Path.glob` takes no absolute patterns, and a bracket in the name of `base_dir` is no pattern.
    found = glob.glob(str(given), root_dir=base_dir, recursive=True)  # noqa: PTH207
    files = [path for path in (base_dir / name for name in sorted(found)) if path_kind(path) == "file"]
    if not files:
        raise SpecError("no file matches this pattern", path=shown_path(pattern))
    return files


def refuse_unused(dataset: DatasetSpec) -> None:
    """Raise SpecError for a revision or configuration: neither would choose anything, and seem to."""
    for name in ("revision", "config_name"):
        if getattr(dataset, name) is not None:
            raise SpecError(f"{name}: {dataset.source} reads what is there, and has none to choose: leave it out")


def _with_split(dataset: DatasetSpec) -> str:
    if not dataset.dataset_id:
        raise SpecError("dataset_id is empty: give the path of a file, relative to the spec file")
    if "{split}" in dataset.dataset_id and dataset.split is None:
        raise SpecError(f"dataset_id {dataset.dataset_id!r} has a place for the split, but split is not given")
    return dataset.dataset_id.replace("{split}", dataset.split or "")


def _regular(path: Path) -> Path:
    kind = path_kind(path)
    if kind == "file":
        return path
    if kind != "nothing":
        raise SpecError("this is no regular file", path=shown_path(path))
    raise SpecError(f"no such file{_nearest(path)}", path=shown_path(path))


def _nearest(path: Path) -> str:
    folder = path.parent
    if path_kind(folder) != "folder":
        return f"; the folder {shown_path(folder)} does not exist"
    try:
        names = sorted(each.name for each in folder.iterdir())
    except OSError:  # it may be searched and not read
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f". Did you mean {shown_path(folder / close[0])!r}?" if close else ""
