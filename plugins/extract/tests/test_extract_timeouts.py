"""A pattern that takes too long decides nothing: no later extractor speaks for it, and a run with more time decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

SLOW = "a" * 24 + "! B"
"""The pattern below needs some 0.1 s of CPU to find the B."""


def run(folder: Path, timeout_s: float, kind: str = "regex") -> themis.RunResult:
    pattern = "(?:a|aa)+$|B"
    config: dict[str, Any] = {"pattern": pattern, "timeout_s": timeout_s}
    extract = {"parse": "read", "metrics": ["text/exact_match"]}
    match = {"metrics": [{"id": "text/regex_match", "config": config}]}
    rows = [{"id": "quick", "gold": "B", "output": "B"}, {"id": "slow", "gold": "B", "output": SLOW}]
    slice_ = {
        "slice_id": "s",
        "dataset": {
            "source": "files/inline",
            "fields": {"reference": "gold", "output": "output"},
            "extras": {"rows": rows},
        },
        "parses": [{"name": "read", "extractors": [{"id": "extract/regex", "config": config}, "extract/line"]}],
        "scores": [{"name": "it", **(extract if kind == "regex" else match)}],
    }
    spec = {"project": {}, "benchmark": {"benchmark_id": "b", "slices": [slice_]}}
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    return themis.run(folder / "spec.json")


@pytest.mark.parametrize(("kind", "reason"), [("regex", "extractor_timeout"), ("match", "metric_timeout")])
def test_what_took_too_long_is_in_no_mean_and_is_decided_with_more_time(tmp_path: Path, kind: str, reason: str) -> None:
    short = run(tmp_path, 0.001, kind)
    (row,) = short.scores
    assert (row.value, row.n, row.unscored, row.unparsed) == (1.0, 1, 1, 0)
    (ledger,) = short.ledger["scores"].values()
    assert ledger["unscored"] == {reason: 1}
    long = run(tmp_path, 60.0, kind)
    (row,) = long.scores
    assert (row.value, row.n, row.unscored, row.unparsed) == (1.0, 2, 0, 0)
