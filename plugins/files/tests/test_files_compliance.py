"""The compliance suite over every loader, plain and compressed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from themis_core import DatasetLoader, DatasetSpec
from themis_core.testing.loader import DatasetLoaderSuite
from themis_plugin_files.csv_file import CsvLoader
from themis_plugin_files.inline import InlineLoader
from themis_plugin_files.json_file import JsonLoader
from themis_plugin_files.jsonl_file import JsonlLoader
from themis_plugin_files.parquet_file import ParquetLoader

ROWS: list[dict[str, Any]] = [
    {"id": "a", "question": "2 + 2?", "gold": "4", "topic": "sums"},
    {"id": "b", "question": "3 × 3?", "gold": "9", "topic": "products"},
    {"id": "c", "question": "5 - 1?\nSay it.", "gold": "4", "topic": "sums"},
    {"id": "d", "question": "", "gold": "0", "topic": "other"},
]


def spec(dataset_id: str, **fields: Any) -> DatasetSpec:
    return DatasetSpec.model_validate(
        {"source": "files/any", "dataset_id": dataset_id, "fields": {"id": "id", "reference": "gold"}, **fields}
    )


class FileSuite(DatasetLoaderSuite):
    name: str

    @pytest.fixture
    def dataset(self, base_dir: Path) -> DatasetSpec:
        (base_dir / self.name).write_bytes(self.content())
        return spec(self.name)

    @pytest.fixture
    def text_filter(self) -> tuple[str, str]:
        return "topic", "sums"

    @pytest.fixture
    def missing(self) -> DatasetSpec | None:
        return spec(f"not-{self.name}")

    def content(self) -> bytes:
        raise NotImplementedError


class TestJsonl(FileSuite):
    name = "rows.jsonl"

    @pytest.fixture
    def loader(self) -> DatasetLoader:
        return JsonlLoader()

    def content(self) -> bytes:
        return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


class TestGzippedJsonl(TestJsonl):
    name = "rows.jsonl.gz"

    def content(self) -> bytes:
        return gzip.compress(super().content())


class TestJson(FileSuite):
    name = "rows.json"

    @pytest.fixture
    def loader(self) -> DatasetLoader:
        return JsonLoader(rows_path="data.rows")

    def content(self) -> bytes:
        return json.dumps({"data": {"title": "sums", "rows": ROWS}}, indent=2).encode()


class TestZstandardJson(TestJson):
    name = "rows.json.zst"

    def content(self) -> bytes:
        return zstandard.compress(super().content())


class TestCsv(FileSuite):
    name = "rows.csv"

    @pytest.fixture
    def loader(self) -> DatasetLoader:
        return CsvLoader()

    def content(self) -> bytes:
        lines = [",".join(ROWS[0]), *(",".join(f'"{value}"' for value in row.values()) for row in ROWS)]
        return "\r\n".join(lines).encode()


class TestParquet(FileSuite):
    name = "rows.parquet"

    @pytest.fixture
    def loader(self) -> DatasetLoader:
        return ParquetLoader()

    @pytest.fixture
    def dataset(self, base_dir: Path) -> DatasetSpec:
        table = pyarrow.Table.from_pylist([{**row, "score": 0.5} for row in ROWS])
        pyarrow.parquet.write_table(table, base_dir / self.name, row_group_size=2)
        return spec(self.name)


class TestInline(FileSuite):
    name = ""

    @pytest.fixture
    def loader(self) -> DatasetLoader:
        return InlineLoader.model_validate({"rows": ROWS})

    @pytest.fixture
    def dataset(self) -> DatasetSpec:
        return spec("")

    @pytest.fixture
    def missing(self) -> DatasetSpec | None:
        return None
