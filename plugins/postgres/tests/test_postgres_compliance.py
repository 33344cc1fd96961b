"""Postgres keeps the promises of a storage backend."""

from __future__ import annotations

import os
from typing import Final

import pytest

from themis_core.testing.storage import StorageBackendSuite
from themis_plugin_postgres.backend import PostgresBlobStorageSpec

FULL: Final = os.environ.get("THEMIS_CHAOS") == "full"
LONG_TEXTS: Final = {
    "test_any_text_comes_back_identical",
    "test_a_store_that_can_check_and_rebuild_itself_finds_nothing_wrong_and_stays_as_it_is",
    "test_another_thread_can_read_meanwhile",
    "test_reading_where_nothing_is_stored_is_refused_and_leaves_no_trace",
    "test_repeating_batches_changes_nothing",
    "test_the_location_names_no_credentials_and_is_not_empty",
    "test_the_log_gives_every_event_as_plain_data_in_its_order",
    "test_what_is_appended_is_read_back_equal",
    "test_what_was_appended_is_there_after_opening_again",
    "test_what_was_appended_is_whole_for_others_before_the_store_is_closed",
}
"""Rules that depend on the place where long texts are."""


@pytest.fixture
def where_texts_matter(request: pytest.FixtureRequest) -> None:
    """With the defaults and with the bucket, every rule is tested; with further places, the others in the full form."""
    if not FULL and request.function.__name__ not in LONG_TEXTS:
        pytest.skip("depends on no place of long texts: in the full form")


@pytest.mark.usefixtures("url")
class TestPostgres(StorageBackendSuite):
    @pytest.fixture
    def backend(self, schema_name: str) -> PostgresBlobStorageSpec:
        return PostgresBlobStorageSpec(schema_name=schema_name)


@pytest.mark.usefixtures("where_texts_matter")
class TestPostgresWithBlobsOnly(StorageBackendSuite):
    """As many texts as possible in blob files."""

    @pytest.fixture
    def backend(self, url: str, schema_name: str) -> PostgresBlobStorageSpec:
        return PostgresBlobStorageSpec(
            url=url, schema_name=schema_name, blobs="sub/texts", inline_limit_bytes=1_024, synchronous_commit="off"
        )


@pytest.mark.usefixtures("where_texts_matter")
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


@pytest.mark.usefixtures("where_texts_matter")
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
