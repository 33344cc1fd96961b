"""JSON Lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from themis_plugin_files.base import TextFileLoader
from themis_rows import jsonl_rows

__all__ = ["JsonlLoader"]


class JsonlLoader(TextFileLoader):
    """Reads JSON Lines: one JSON object per line, in UTF-8; blank lines are skipped."""

    def rows_of(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        return jsonl_rows(path)
