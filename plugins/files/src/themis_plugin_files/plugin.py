"""Offers the file loaders to Themis."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import DatasetLoader, hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_dataset_loaders(register: Callable[[str, type[DatasetLoader]], None]) -> None:
    from themis_plugin_files.csv_file import CsvLoader
    from themis_plugin_files.inline import InlineLoader
    from themis_plugin_files.json_file import JsonLoader
    from themis_plugin_files.jsonl_file import JsonlLoader
    from themis_plugin_files.parquet_file import ParquetLoader

    register("csv", CsvLoader)
    register("inline", InlineLoader)
    register("json", JsonLoader)
    register("jsonl", JsonlLoader)
    register("parquet", ParquetLoader)
