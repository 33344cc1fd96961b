"""What the plugin offers, and what it imports for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, SpecError
from themis_plugin_files import plugin
from themis_plugin_files.jsonl_file import JsonlLoader
from themis_plugin_files.parquet_file import ParquetLoader


def test_it_offers_a_loader_per_format() -> None:
    offered: dict[str, type[DatasetLoader]] = {}
    plugin.themis_register_dataset_loaders(register=offered.__setitem__)
    assert sorted(offered) == ["csv", "inline", "json", "jsonl", "parquet"]
    assert plugin.THEMIS_CONTRACT_VERSION == 1


def test_offering_imports_nothing_heavy() -> None:
    code = (
        "import sys; from themis_plugin_files import plugin\n"
        "plugin.themis_register_dataset_loaders(register=lambda name, cls: None)\n"
        "print(sorted({'pyarrow', 'zstandard', 'pandas', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("loader", "module", "name", "package"),
    [
        (JsonlLoader(), "zstandard", "x.jsonl.zst", r"themis-rows\[zstd\]"),
        (ParquetLoader(), "pyarrow", "x.parquet", r"themis-plugin-files\[parquet\]"),
    ],
)
def test_a_missing_package_is_an_error_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: DatasetLoader, module: str, name: str, package: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SpecError, match=f"pip install '{package}'"):
        list(loader.rows(DatasetSpec(source="files/x", dataset_id=name), DatasetQuerySpec(), tmp_path))
