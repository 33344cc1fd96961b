"""Several processes ask one endpoint and share its limits through the store, as `share_limits` has it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, most_within, together

from themis_core.testing.server import ScriptedServer

BURST = 10.0


def test_processes_that_share_a_token_bucket_fail_no_trial_and_use_it(
    fleet: Fleet, full: bool, figures: dict[str, Any]
) -> None:
    rate, trials = (60.0, 500) if full else (40.0, 50)
    fleet.server.reset({"bucket": {"rate": rate, "capacity": BURST}, "latency_s": 0.02})
    if full:
        fleet.gather(4)
        fleet.start([{"share_limits": True}] * 4, trials)
        assert fleet.wait() == [0, 0, 0, 0]
    else:
        results = fleet.run_here([{"share_limits": True}] * 4, trials)
        assert [result.status for result in results] == ["completed"] * 4
    requests = fleet.server.requests()
    accepted = [each.started for each in requests if each.status == 200]
    by_run = fleet.by_run().values()  # while all are at work: processes don't begin and end at one moment
    since, until = max(each[0] for each in by_run), min(each[-1] for each in by_run)
    used = sum(since <= at <= until for at in accepted) / (rate * max(until - since, 1e-9))
    figures |= {"trials": 4 * trials, "requests": len(requests), "share of the limit used": round(used, 3)}
    assert len(accepted) == 4 * trials
    assert len(requests) <= (1.15 if full else 1.5) * 4 * trials  # a short one is hardly more than its beginning
    # How much of the limit is used depends on the machine too, so the short form takes no measure of it.
    assert not full or used >= 0.8


def test_a_rate_is_kept_by_all_together_and_the_smaller_one_holds(
    fleet: Fleet, full: bool, figures: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    trials = 300 if full else 90
    policies = [{"share_limits": True, "requests_per_minute": per_minute} for per_minute in (1_200, 2_400)]
    fleet.server.reset({"latency_s": 0.02})
    results = fleet.run_here(policies, trials)
    assert [result.status for result in results] == ["completed"] * 2
    by_run = fleet.by_run()
    seconds, begun = together(by_run)
    figures |= {"together s": round(seconds, 1), "requests a second": round(begun / seconds, 2), "allowed": 20}
    assert begun <= 20 * seconds * 1.05 + 5
    assert not full or begun >= 20 * seconds * 0.8
    assert caplog.text.count("requests_per_minute: 1200 holds, the smallest limit of all processes") == 1


def test_runs_that_share_nothing_exceed_the_same_limit(
    tmp_path: Path, server: ScriptedServer, figures: dict[str, Any]
) -> None:
    server.reset({"latency_s": 0.02})
    fleet = Fleet(tmp_path, server, {"backend": "sqlite", "root_dir": "store"})
    fleet.run_here([{"requests_per_minute": 1_200}] * 3, 30)
    seconds, begun = together(fleet.by_run())
    figures |= {"requests a second": round(begun / seconds, 2), "allowed": 20}
    assert begun > 20 * seconds * 1.5


@pytest.mark.parametrize("fate", ["killed", "paused"])
def test_what_a_lost_process_had_is_for_the_others(
    fate: str, fleet: Fleet, full: bool, figures: dict[str, Any]
) -> None:
    if fate == "paused" and not full:
        pytest.skip("takes 20 s of standing still: in the full form")
    rate, trials = 30.0, (400 if full else 120)
    fleet.server.reset({"latency_s": 0.02})
    fleet.start([{"share_limits": True, "requests_per_minute": 60 * rate, "max_in_flight_work_items": 8}] * 4, trials)
    fleet.wait_until_asked(4)
    lost = fleet.processes[0]
    os.kill(lost.pid, signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
    lost_at = time.monotonic()
    if fate == "paused":
        time.sleep(20)
        os.kill(lost.pid, signal.SIGCONT)
    codes = fleet.wait()
    assert codes == [-signal.SIGKILL if fate == "killed" else 0, 0, 0, 0]
    by_run = fleet.by_run()
    begun = sorted(at for each in by_run.values() for at in each)
    # Ten seconds until it is given up, if it held what the others waited for.
    others = {number: each for number, each in by_run.items() if number != "0"}
    seconds, of_others = together(others)
    figures |= {"others a second": round(of_others / seconds, 2), "allowed": rate, "lost after s": lost_at - begun[0]}
    assert most_within(begun, 2.0) <= 2 * rate * 1.3 + 8
    assert not full or of_others >= rate * 0.8 * 3 / 4 * seconds
    assert Counter(len(each) for each in others.values()) == {trials: 3}
