"""A Ray cluster of two nodes on this machine, and what the tests of workers have."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workers"))
# Read by Ray as it is imported: no folder is copied because the tests run under `uv run`, and nothing is reported.
os.environ |= {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

from crewed import Crewed, make

from themis_core.testing.postgres import PostgresServer, server_for_tests

STORE_BYTES = 80_000_000
"""Of Ray's object store on each node, which is the least that it takes; nothing large goes through it here."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with server_for_tests() as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two nodes: one with two cores, and one with two cores and a GPU that only Ray believes in."""
    from ray.cluster_utils import Cluster

    os.environ.pop("THEMIS_POSTGRES_URL", None)  # nodes have what they were started with
    head = {"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    started.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE_BYTES)
    yield started
    started.shutdown()


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
