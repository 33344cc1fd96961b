"""The cases, in the order of the table: each module measures one, in `rows`. Modules named `bare_…` are bare loops."""

from __future__ import annotations

import importlib

from benchmarks.bench import Bench
from benchmarks.table import Row

__all__ = ["CASES", "rows_of"]

CASES = (
    "http_free",
    "http_many",
    "http_slow",
    "http_wide",
    "one_trial",
    "replay",
    "rerun",
    "another_parse",
    "another_metric",
    "plan_stored",
    "shard_plan",
    "judge_call",
    "disk",
    "metric_5_ms",
    "metric_20_ms",
    "metric_stalls",
    "store_append",
    "postgres_writers",
    "store_read",
    "groups",
    "queries",
    "compare",
    "workers",
)


def rows_of(case: str, bench: Bench) -> list[Row]:
    """Measure one case."""
    return list(importlib.import_module(f"benchmarks.cases.{case}").rows(bench))
