"""What the loaders of files have in common: which files, in which order, and their fingerprint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, Row, shown_path
from themis_plugin_files.paths import files_of
from themis_plugin_files.pushdown import ruled_out, wanted_texts
from themis_rows import fingerprint

__all__ = ["FileLoader", "TextFileLoader"]


class FileLoader(DatasetLoader):
    """Reads the files that `dataset_id` names, one after another."""

    @abstractmethod
    def read(self, path: Path, dataset: DatasetSpec, query: DatasetQuerySpec) -> Iterator[Row]:
        """Yield the rows of one file."""

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        return chain.from_iterable(self.read(path, dataset, query) for path in files_of(dataset, base_dir))

    def folder(self, dataset: DatasetSpec, base_dir: Path) -> Path | None:
        return files_of(dataset, base_dir)[0].parent

    def fingerprint(self, dataset: DatasetSpec, base_dir: Path) -> dict[str, Any]:
        return {"files": [fingerprint(path, base_dir) for path in files_of(dataset, base_dir)]}


class TextFileLoader(FileLoader):
    """Reads text, in which a row has a line."""

    @abstractmethod
    def rows_of(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line on which it starts, row)."""

    def read(self, path: Path, dataset: DatasetSpec, query: DatasetQuerySpec) -> Iterator[Row]:
        name, wanted = shown_path(path), wanted_texts(dataset, query)
        for line, data in self.rows_of(path):
            if not (wanted and ruled_out(data, wanted)):
                yield Row(data, f"{name}:{line}")
