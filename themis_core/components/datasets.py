"""Dataset loaders: where rows come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from themis_core.components.base import Component
from themis_core.records import (
    Row,
)
from themis_core.specs import DatasetQuerySpec, DatasetSpec

__all__ = ["DatasetLoader"]


class DatasetLoader(Component):
    """Streams the rows of a dataset."""

    @abstractmethod
    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        """Yield the rows in the source's order, reading as it goes; equal on every call.

        May leave out rows that `query.item_ids` or `query.filters` rule out, where that is cheap; the core applies the
        whole query again. Must not sample. Relative paths start at `base_dir`. Raises SpecError that names file
        and line (`path`, `line`) for a missing file or a bad row. Runs in a worker thread or the event loop's.
        """

    def folder(self, dataset: DatasetSpec, base_dir: Path) -> Path | None:
        """The folder in which rows may name files, such as images: that of the dataset's own file; None if none."""
        return None

    def fingerprint(self, dataset: DatasetSpec, base_dir: Path) -> dict[str, Any]:
        """What pins the data for the manifest: a resolved revision, a file's size and SHA-256. Read once per run."""
        return {}
