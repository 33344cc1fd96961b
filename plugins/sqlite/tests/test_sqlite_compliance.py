"""SQLite, and the fake in memory, keep the promises of a storage backend."""

from __future__ import annotations

import pytest

from themis_core.testing.memory import MemoryStorage
from themis_core.testing.storage import StorageBackendSuite
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec


class TestSqlite(StorageBackendSuite):
    @pytest.fixture
    def backend(self) -> SqliteBlobStorageSpec:
        return SqliteBlobStorageSpec()


class TestSqliteWithBlobsOnly(StorageBackendSuite):
    """As many texts as possible in blob files."""

    @pytest.fixture
    def backend(self) -> SqliteBlobStorageSpec:
        return SqliteBlobStorageSpec(root_dir="sub/store", inline_limit_bytes=1_024, synchronous="NORMAL")


class TestMemory(StorageBackendSuite):
    @pytest.fixture
    def backend(self) -> MemoryStorage:
        return MemoryStorage()
