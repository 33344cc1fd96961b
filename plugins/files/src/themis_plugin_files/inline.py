"""Rows that are written in the spec itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, Row, SpecError, canonical_json, digest
from themis_plugin_files.paths import refuse_unused

__all__ = ["InlineLoader"]


class InlineLoader(DatasetLoader):
    """Gives the rows of its own config, for a handful of items."""

    # `rows` itself is the method.
    inline_rows: list[dict[str, Any]] = Field(
        alias="rows", description="The rows, each a mapping of columns to values.", min_length=1
    )

    @field_validator("inline_rows")
    @classmethod
    def _are_json(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for number, row in enumerate(value, 1):
            try:
                canonical_json(row)
            except (TypeError, ValueError, RecursionError) as error:
                raise ValueError(f"row {number} holds what JSON can't hold: {error}") from error
        return value

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        refuse_unused(dataset)
        if dataset.dataset_id:
            raise SpecError("files/inline reads no file: its rows are in extras.rows, so leave dataset_id out")
        for number, row in enumerate(self.inline_rows, 1):
            yield Row(dict(row), f"row {number}")

    def fingerprint(self, dataset: DatasetSpec, base_dir: Path) -> dict[str, Any]:
        return {"rows": len(self.inline_rows), "sha256": digest(self.inline_rows)}
