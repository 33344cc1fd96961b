"""From a dataset id to the files it means; no reading."""

from __future__ import annotations

from pathlib import Path

from themis_core import DatasetSpec, SpecError
from themis_rows import matching_files

__all__ = ["files_of", "refuse_unused"]


def files_of(dataset: DatasetSpec, base_dir: Path) -> list[Path]:
    """Return the files that a dataset id means: one path, or a glob's matches in sorted order.

    `{split}` stands for the split. Raises SpecError that names the nearest existing file if there is none.
    """
    refuse_unused(dataset)
    if not dataset.dataset_id:
        raise SpecError("dataset_id is empty: give the path of a file, relative to the spec file")
    if "{split}" in dataset.dataset_id and dataset.split is None:
        raise SpecError(f"dataset_id {dataset.dataset_id!r} has a place for the split, but split is not given")
    return matching_files(dataset.dataset_id, base_dir, {"{split}": dataset.split or ""})


def refuse_unused(dataset: DatasetSpec) -> None:
    """Raise SpecError for a revision or configuration: neither would choose anything, and seem to."""
    for name in ("revision", "config_name"):
        if getattr(dataset, name) is not None:
            raise SpecError(f"{name}: {dataset.source} reads what is there, and has none to choose: leave it out")
