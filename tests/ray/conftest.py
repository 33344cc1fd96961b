"""A Ray cluster of two nodes on this machine, and what the tests of workers have."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workers"))
# Read by Ray as it is imported, and by the nodes: no folder is copied because the tests run under `uv run`, and nothing
# is reported to anybody. What workers are started in advance for each driver is not used, and on a busy machine what
# yields to all else, as Ray's workers do by default, gets nowhere.
os.environ |= {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}

from crewed import Quiet, made, postgres, undisturbed  # noqa: F401 - fixtures among them

from themis_core.testing.postgres import PostgresServer

TRIALS = 100
STORE_BYTES = 80_000_000
"""Of Ray's object store on each node, which is the least that it takes; nothing large goes through it here."""


@pytest.fixture(scope="session")
def quiet(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Quiet:  # noqa: F811 - the fixture
    return undisturbed(tmp_path_factory.mktemp("quiet") / "0", postgres.new_database(), trials=TRIALS, seconds=0.2)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two nodes: one with two cores, and one with two cores and a GPU that only Ray believes in."""
    from ray.cluster_utils import Cluster

    os.environ.pop("THEMIS_POSTGRES_URL", None)  # nodes have what they were started with
    head = {"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    started.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE_BYTES)
    try:
        yield started
    finally:
        started.shutdown()
