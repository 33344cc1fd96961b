"""A JSON document: a list of objects, at the top or somewhere inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from themis_plugin_files.base import TextFileLoader
from themis_rows import json_rows

__all__ = ["JsonLoader"]


class JsonLoader(TextFileLoader):
    """Reads a JSON document that is, or contains, a list of objects; in UTF-8."""

    rows_path: str | None = Field(
        None,
        description="Where in the document the list of rows is: keys joined by dots, such as `data.rows`. "
        "Without it the document itself is the list.",
        min_length=1,
    )

    def rows_of(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        return json_rows(path, self.rows_path)
