"""Postgres keeps the promises of a storage backend."""

from __future__ import annotations

import pytest

from themis_core.testing.storage import StorageBackendSuite
from themis_plugin_postgres.backend import PostgresBlobStorageSpec


@pytest.mark.usefixtures("url")
class TestPostgres(StorageBackendSuite):
    @pytest.fixture
    def backend(self, schema_name: str) -> PostgresBlobStorageSpec:
        return PostgresBlobStorageSpec(schema_name=schema_name)


class TestPostgresWithBlobsOnly(StorageBackendSuite):
    """As many texts as possible in blob files."""

    @pytest.fixture
    def backend(self, url: str, schema_name: str) -> PostgresBlobStorageSpec:
        return PostgresBlobStorageSpec(
            url=url, schema_name=schema_name, blobs="sub/texts", inline_limit_bytes=1_024, synchronous_commit="off"
        )


class TestPostgresWithBlobsInTheDatabase(StorageBackendSuite):
    @pytest.fixture
    def backend(self, url: str, schema_name: str) -> PostgresBlobStorageSpec:
        return PostgresBlobStorageSpec(
            url=url, schema_name=schema_name, blobs="database", inline_limit_bytes=1_024, synchronous_commit="off"
        )


@pytest.mark.usefixtures("s3")
class TestPostgresWithBlobsInABucket(StorageBackendSuite):
    @pytest.fixture
    def backend(self, url: str, schema_name: str) -> PostgresBlobStorageSpec:
        return PostgresBlobStorageSpec(
            url=url,
            schema_name=schema_name,
            blobs=f"s3://bucket/{schema_name}",
            inline_limit_bytes=1_024,
            synchronous_commit="off",
        )


class TestPostgresWithBlobsByFsspec(StorageBackendSuite):
    @pytest.fixture
    def backend(self, url: str, schema_name: str) -> PostgresBlobStorageSpec:
        return PostgresBlobStorageSpec(
            url=url,
            schema_name=schema_name,
            blobs=f"memory://{schema_name}",
            inline_limit_bytes=1_024,
            synchronous_commit="off",
        )
