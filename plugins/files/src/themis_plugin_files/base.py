"""What the loaders of files have in common: which files, in which order, and their fingerprint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, Row
from themis_plugin_files.paths import files_of
from themis_plugin_files.reading import fingerprint

__all__ = ["FileLoader"]


class FileLoader(DatasetLoader):
    """Reads the files that `dataset_id` names, one after another."""

    @abstractmethod
    def read(self, path: Path, dataset: DatasetSpec, query: DatasetQuerySpec) -> Iterator[Row]:
        """Yield the rows of one file."""

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        for path in files_of(dataset, base_dir):
            yield from self.read(path, dataset, query)

    def fingerprint(self, dataset: DatasetSpec, base_dir: Path) -> dict[str, Any]:
        return {"files": [fingerprint(path, base_dir) for path in files_of(dataset, base_dir)]}
