"""Puts the folder on the path, so that its tests find `made_store`; servers of Postgres for a session."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from themis_core.testing.postgres import PostgresServer, server_for_tests

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with server_for_tests() as server:
        yield server
