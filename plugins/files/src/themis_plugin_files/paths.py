"""From a dataset id to the files it means; no reading."""

from __future__ import annotations

import difflib
import glob
from pathlib import Path

from themis_core import DatasetSpec, SpecError

__all__ = ["files_of", "shown"]


def files_of(dataset: DatasetSpec, base_dir: Path) -> list[Path]:
    """Return the files that a dataset id names: one path, or a glob's matches in sorted order.

    `~` is expanded, `{split}` replaced by the split, and a relative path starts at `base_dir`. Raises SpecError
    that names the nearest existing file if there is none.
    """
    given = Path(_with_split(dataset)).expanduser()
    pattern = base_dir / given
    if pattern.is_dir():
        raise SpecError(f"this is a folder: name its files, such as {dataset.dataset_id}/*", path=shown(pattern))
    # A name that exists means itself, even with a bracket in it.
    if pattern.exists() or not glob.has_magic(str(given)):
        return [_regular(pattern)]
    # `Path.glob` takes no absolute patterns, and a bracket in the name of `base_dir` is no pattern.
    found = glob.glob(str(given), root_dir=base_dir, recursive=True)  # noqa: PTH207
    files = [path for path in (base_dir / name for name in sorted(found)) if path.is_file()]
    if not files:
        raise SpecError("no file matches this pattern", path=shown(pattern))
    return files


def shown(path: Path) -> str:
    """The path as messages show it: relative to the working folder where it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _with_split(dataset: DatasetSpec) -> str:
    if not dataset.dataset_id:
        raise SpecError("dataset_id is empty: give the path of a file, relative to the spec file")
    if "{split}" in dataset.dataset_id and dataset.split is None:
        raise SpecError(f"dataset_id {dataset.dataset_id!r} has a place for the split, but split is not given")
    return dataset.dataset_id.replace("{split}", dataset.split or "")


def _regular(path: Path) -> Path:
    if path.is_file():
        return path
    if path.exists():
        raise SpecError("this is no regular file", path=shown(path))
    raise SpecError(f"no such file{_nearest(path)}", path=shown(path))


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"; the folder {shown(folder)} does not exist"
    close = difflib.get_close_matches(path.name, sorted(each.name for each in folder.iterdir()), n=1)
    return f". Did you mean {shown(folder / close[0])!r}?" if close else ""
