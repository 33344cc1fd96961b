"""Puts the folder on the path, so that its tests find `made_runs`; stores of both kinds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from themis_core import StorageBackend
from themis_core.testing.memory import MemoryStorage
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StorageBackend:
    return MemoryStorage() if request.param == "memory" else SqliteBlobStorageSpec(root_dir=str(tmp_path / "store"))
