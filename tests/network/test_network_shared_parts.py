"""The shards and the workers of one run ask one endpoint and share its limits through the store."""

from __future__ import annotations

import os
import re
from contextlib import closing
from typing import Any

import pytest
from fleet import Fleet, together

from themis_core import ExecutionRecord, Part, ProjectSpec, RunRecord, Store
from themis_core.plugins import open_storage
from themis_core.reading import Place

FULL = os.environ.get("THEMIS_CHAOS") == "full"
BURST = 10.0
DEAR = {"input_per_million": 1_000_000.0, "output_per_million": 1_000_000.0}
"""One of a token."""


def opened(fleet: Fleet) -> closing[Store]:
    project = ProjectSpec.model_validate({"storage": fleet.storage})
    return closing(open_storage(project, fleet.folder, Place())[1].open(fleet.folder, mode="read"))


def the_run(fleet: Fleet) -> tuple[RunRecord, list[ExecutionRecord]]:
    """The only one that the store has, and what was done for it."""
    with opened(fleet) as store:
        (run,) = store.runs()
        return run, list(store.executions(run.run_id))


def by_part(fleet: Fleet, of: int) -> dict[str, list[float]]:
    """When the requests of each part of the run began."""
    found: dict[str, list[float]] = {}
    for each in fleet.server.requests():
        part = Part.holding(f"i{each.prompt.split()[-1]}", 0, of)
        found.setdefault(str(part), []).append(each.started)
    return {part: sorted(begun) for part, begun in found.items()}


@pytest.mark.parametrize("storage", ["sqlite", "postgres"] if FULL else ["sqlite"], indirect=True)
def test_two_shards_keep_one_rate_together(fleet: Fleet, full: bool, figures: dict[str, Any]) -> None:
    trials = 600 if full else 140
    fleet.server.reset({"latency_s": 0.02})
    fleet.write([{"share_limits": True, "requests_per_minute": 1_200}], trials)
    fleet.gather(2)
    for number in (1, 2):
        fleet.begin(0, "--shard", f"{number}/2")
    assert fleet.wait() == [0, 0], fleet.told(0) + fleet.told(1)
    parts = by_part(fleet, 2)
    seconds, begun = together(parts)
    figures |= {"together s": round(seconds, 1), "requests a second": round(begun / seconds, 2), "allowed": 20}
    assert sum(map(len, parts.values())) == trials
    assert seconds > 1, "both were at work"
    assert begun <= 20 * seconds * 1.05 + 5
    assert not full or begun >= 20 * seconds * 0.8
    run, _ = the_run(fleet)
    assert (run.status, run.trials, run.failed) == ("completed", trials, 0)


@pytest.mark.parametrize("storage", ["sqlite", "postgres"] if FULL else ["postgres"], indirect=True)
def test_two_shards_spend_one_budget_together_and_go_on_with_a_larger_one(fleet: Fleet) -> None:
    fleet.server.reset({"latency_s": 0.02})

    def run_with(limit: float) -> tuple[list[int], float]:
        """The exit codes of both, and what was spent until now."""
        fleet.write([{"share_limits": True, "max_cost": limit}], 40, DEAR, max_tokens=5)
        fleet.gather(2)
        for number in (1, 2):
            fleet.begin(0, "--shard", f"{number}/2")
        codes = fleet.wait()[-2:]
        with opened(fleet) as store:
            (run,) = store.runs()
            spent = store.cost(run.run_id)
        assert spent.unknown_calls == 0
        return codes, spent.known or 0.0

    codes, spent = run_with(203)
    told = fleet.told(0) + fleet.told(1)
    assert 6 in codes, told
    assert 191 <= spent <= 203, "a call costs 8, and might 12"
    assert re.search(r"max_cost reached: .* of 203 spent by all processes of this run", told)
    # Of 332 in halves, the shard that has 21 trials would have 166.
    codes, spent = run_with(332)
    assert codes == [0, 0], fleet.told(2) + fleet.told(3)
    assert (spent, len(fleet.server.requests())) == (320, 40)


@pytest.mark.parametrize("storage", ["postgres"], indirect=True)
def test_four_workers_share_a_token_bucket_fail_no_trial_and_use_it(
    fleet: Fleet, full: bool, figures: dict[str, Any]
) -> None:
    rate, trials = (60.0, 2_000) if full else (40.0, 240)
    fleet.server.reset({"bucket": {"rate": rate, "capacity": BURST}, "latency_s": 0.02})
    fleet.write([{"share_limits": True}], trials)
    fleet.gather(4)
    fleet.begin(0, "--workers", "4")
    assert fleet.wait() == [0], fleet.told(0)
    run, executions = the_run(fleet)
    workers = [each for each in executions if each.part is not None]
    requests = fleet.server.requests()
    accepted = [each.started for each in requests if each.status == 200]
    since, until = fleet.at_work()
    used = sum(since <= at <= until for at in accepted) / (rate * max(until - since, 1e-9))
    figures |= {"trials": trials, "requests": len(requests), "share of the limit used": round(used, 3)}
    figures |= {"all at work s": round(until - since, 1)}
    assert (run.status, run.trials, run.failed, len(workers)) == ("completed", trials, 0, 4)
    assert len(accepted) == trials
    assert len(requests) <= (1.15 if full else 1.5) * trials
    assert not full or used >= 0.8
