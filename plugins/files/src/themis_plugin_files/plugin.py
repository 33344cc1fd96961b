"""Offers the file loaders to Themis."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_dataset_loaders(register: Callable[[str, str], None]) -> None:
    register("csv", "themis_plugin_files.csv_file:CsvLoader")
    register("inline", "themis_plugin_files.inline:InlineLoader")
    register("json", "themis_plugin_files.json_file:JsonLoader")
    register("jsonl", "themis_plugin_files.jsonl_file:JsonlLoader")
    register("parquet", "themis_plugin_files.parquet_file:ParquetLoader")
