"""A Postgres server for all tests here, and `crewed`, which they share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crewed import Crewed, make

from themis_core.testing.postgres import PostgresServer, server_for_tests


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with server_for_tests() as server:
        yield server


@pytest.fixture
def made(postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[..., Crewed]]:
    """Makes a benchmark in a folder and a database of its own; what it started is ended with the test."""
    all_made: list[Crewed] = []

    def makes(**more: Any) -> Crewed:
        all_made.append(make(tmp_path / str(len(all_made)), postgres.new_database(), **more))
        return all_made[-1]

    yield makes
    for each in all_made:
        each.end()
