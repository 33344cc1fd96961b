"""A run by workers of this machine: whole processes, a real Postgres, and whatever may end them."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from crewed import Crewed, Quiet, make, undisturbed, wait_until

import themis_core as themis
from themis_core import LocalLauncher, WorkOrder
from themis_core.cli import cli
from themis_core.session import Progress
from themis_core.testing.postgres import PostgresServer
from themis_workers import RunningWorker

Made = Callable[..., Crewed]
TRIALS = 100
SAME = {"trials": TRIALS, "seconds": 0.1}
AT_ONCE = 4
"""Calls that one worker may have in flight: `at_once` of the engine."""


@pytest.fixture(scope="module")
def quiet(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    return undisturbed(tmp_path_factory.mktemp("quiet") / "0", postgres.new_database(), **SAME)


def test_two_workers_make_the_run_that_one_process_makes(made: Made, quiet: Quiet) -> None:
    crewed = made(**SAME, together=2)
    code, told, err = crewed.run("--workers", "2", "--format", "json")
    assert code == 0, err
    whole, result = quiet.result, json.loads(told)
    for name in ("run_id", "status", "trials", "ledger", "generated"):
        assert result[name] == whole[name], name
    for here, there in zip(result["scores"], whole["scores"], strict=True):
        # A database may add up in any order, which the last digit shows.
        assert here == {
            each: pytest.approx(value) if isinstance(value, float) else value for each, value in there.items()
        }
    assert crewed.digest() == quiet.digest
    assert (crewed.calls, len(set(crewed.workers))) == (crewed.trials, 2)
    assert len({pid for pid, *_ in crewed.noted("calls")}) == 2, "both were at work"
    assert f"{TRIALS}/{TRIALS} trials (100%)" in err
    observed = [(what, part is None) for *_, what, part in crewed.noted("observed")]
    assert (observed[0], observed[-1]) == (("started", True), ("finished", True)), "of the whole, by the driver"
    assert Counter(observed[1:-1]) == {("started", False): 2, ("finished", False): 2}, "of each worker, by itself"
    again = crewed.run("--workers", "2")
    assert (again[0], crewed.calls, len(crewed.workers)) == (0, crewed.trials, 2), "a finished run starts nobody"


def test_workers_that_are_killed_are_replaced_and_nothing_is_lost(made: Made, quiet: Quiet) -> None:
    crewed = made(**SAME)
    driver, draw = crewed.start("--workers", "2", "--worker-retries", "9"), random.Random(1)
    kills = 0
    for calls in (10, 50):
        wait_until(lambda calls=calls: crewed.calls >= calls or driver.process.poll() is not None)  # type: ignore[misc]
        with suppress(ProcessLookupError):
            os.kill(draw.choice(crewed.workers[-2:]), signal.SIGKILL)
            kills += 1
    code, _, err = driver.wait()
    assert code == 0, err
    assert "was lost: killed by SIGKILL; another one takes its place in" in err
    assert crewed.digest() == quiet.digest
    assert crewed.calls <= crewed.trials + kills * AT_ONCE
    assert "running" not in crewed.statuses(), "what a lost worker could not say is stored for it"


def test_a_worker_that_hangs_holds_up_nobody_for_good(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both have trials for seconds, and are looked at often: the one to stop has not ended before it is chosen.
    crewed = made(trials=40, together=2, seconds=0.5)
    monkeypatch.setenv("THEMIS_POSTGRES_URL", crewed.url)
    monkeypatch.setattr("themis_core.session.driving.SEE_S", 0.1)
    monkeypatch.setattr("themis_core.session.driving.RETIRE_S", 0.5)
    monkeypatch.setattr("themis_core.session.driving.LEAVE_S", 0.5)
    stopped: list[int] = []

    def stop_one(_: Progress) -> None:
        if crewed.workers and crewed.calls >= 4 and not stopped:
            stopped.append(crewed.workers[0])
            os.kill(stopped[0], signal.SIGSTOP)

    result = themis.run(crewed.spec, workers=2, progress=stop_one)
    assert (result.status, len(stopped)) == ("completed", 1)
    assert not is_alive(stopped[0])
    assert crewed.calls <= crewed.trials + AT_ONCE


def test_workers_of_a_driver_that_is_killed_end_and_the_same_command_goes_on(made: Made, quiet: Quiet) -> None:
    crewed = made(**SAME, together=2)
    driver = crewed.start("--workers", "2")
    wait_until(lambda: crewed.calls >= 10)
    driver.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, crewed.workers)))
    stopped_at = crewed.calls
    assert stopped_at < crewed.trials
    code, _, err = crewed.run("--workers", "2")
    while code == 4 and "worker driver" in err:  # the lease of the driver that was killed runs for some seconds
        code, _, err = crewed.run("--workers", "2")
    assert code == 0, err
    assert crewed.digest() == quiet.digest
    assert crewed.calls == crewed.trials, "they ended in good order, so nothing was asked twice"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_in_good_order_and_a_run_without_workers_goes_on(made: Made, number: int, code: int) -> None:
    crewed = made(together=2, seconds=0.1)
    driver = crewed.start("--workers", "2")
    wait_until(lambda: crewed.calls >= 10)
    driver.signal(number)
    ended, _, err = driver.wait()
    assert ended == code, err
    assert "stopping: 2 workers end in good order" in err
    assert not any(map(is_alive, crewed.workers))
    assert crewed.calls < crewed.trials
    assert crewed.run()[0] == 0
    assert crewed.calls == crewed.trials


def test_the_second_ctrl_c_ends_all_at_once(made: Made) -> None:
    crewed = made(seconds=60)
    driver = crewed.start("--workers", "2")
    wait_until(lambda: len(crewed.workers) == 2 and crewed.calls >= 2)
    driver.signal(signal.SIGINT)
    wait_until(lambda: "stopping: 2 workers end in good order" in driver.err.read_text())
    driver.signal(signal.SIGINT)
    code, _, _ = driver.wait()
    assert code == 130
    wait_until(lambda: not any(map(is_alive, crewed.workers)), patience_s=60)


def test_an_engine_that_can_not_start_is_the_cause_of_the_end(made: Made) -> None:
    crewed = made(fails="CUDA out of memory: 24 GB wanted")
    code, _, err = crewed.run("--workers", "2")
    assert code == 3, err
    assert "CUDA out of memory: 24 GB wanted" in err
    assert (crewed.calls, len(crewed.workers) <= 4) == (0, True)
    (crewed.folder / "mended").touch()
    assert crewed.run("--workers", "1")[0] == 0
    assert crewed.calls == crewed.trials


def test_an_engine_that_takes_its_process_along_is_the_cause_of_the_end(made: Made) -> None:
    crewed = made(dies=True)
    code, out, err = crewed.run("--workers", "2", "--worker-retries", "0", "--format", "json")
    assert code == 5, err
    assert "it ended with exit code 7 without saying why; what arrived is saved" in err
    assert (json.loads(out)["status"], json.loads(out)["ledger"]["unfinished"]) == ("failed", crewed.trials)


def test_no_worker_is_started_that_would_get_nothing_to_do(made: Made) -> None:
    few, limited = made(trials=2), made(policy={"max_calls": 3})
    code, _, err = few.run("--workers", "3")
    assert (code, few.calls, len(few.workers)) == (0, 2, 2), err
    assert "2 workers of 3: there are trials for no more" in err
    code, _, err = limited.run("--workers", "4")
    assert (code, limited.calls, len(limited.workers)) == (6, 3, 3), err
    assert "3 workers of 4: max_calls allows no more" in err
    assert "stopped: max_calls reached: 1 call was made; what arrived is saved" in err


def test_what_failed_is_told_with_what_to_do(made: Made) -> None:
    crewed = made(trials=4, raises=True)
    code, _, err = crewed.run("--workers", "1")
    assert code == 5
    assert "some trials failed or have no verdict. engine_error (4): " in err


@pytest.mark.parametrize("option", [("--worker-retries", "3")])
def test_an_option_about_workers_without_any_is_refused(tmp_path: Path, option: tuple[str, str]) -> None:
    crewed = make(tmp_path / "here", "", storage={"backend": "sqlite"})
    answer = CliRunner().invoke(cli, ["run", str(crewed.spec), *option])
    assert (answer.exit_code, crewed.workers) == (2, [])
    assert "--worker-retries is about workers, and there are none: say how many with --workers" in answer.output


@pytest.mark.parametrize(
    "given", [{"worker_retries": 3}, {"launcher": LocalLauncher()}, {"allow_differing_versions": True}]
)
def test_what_is_about_workers_is_refused_in_python_as_well(tmp_path: Path, given: dict[str, Any]) -> None:
    crewed = make(tmp_path / "here", "", storage={"backend": "sqlite"})
    with pytest.raises(themis.SpecError, match=f"{next(iter(given))} is about workers, and there are none"):
        themis.run(crewed.spec, **given)


def test_engines_that_do_not_fit_on_this_machine_are_refused_before_anything_is_started(made: Made) -> None:
    crewed = made(memory_bytes=10**15)
    code, _, err = crewed.run("--workers", "2")
    assert (code, crewed.workers) == (2, []), err
    assert "2 workers don't fit on this machine: the engines of each hold 1e+06 of" in err


def test_a_store_that_hands_out_no_parts_says_what_to_do(tmp_path: Path) -> None:
    crewed = make(tmp_path / "here", "", storage={"backend": "sqlite"})
    code, _, err = crewed.run("--workers", "2")
    assert (code, crewed.workers) == (4, []), err
    assert "--shard K/N, or use a store in Postgres" in err


def test_a_metric_that_is_added_is_computed_by_all_workers_and_asks_nothing_again(made: Made) -> None:
    crewed = made(trials=80)
    assert crewed.run()[0] == 0
    spec = json.loads(crewed.spec.read_text())
    spec["benchmark"]["slices"][0]["scores"].append({"name": "heavy", "metrics": ["mine/where"]})
    crewed.spec.write_text(json.dumps(spec))
    (crewed.folder / "together").write_text("3")
    code, out, err = crewed.run("--workers", "2", "--format", "json")
    assert code == 0, err
    assert crewed.calls == crewed.trials
    assert len({pid for pid, *_ in crewed.noted("scored")}) == 2
    assert len(crewed.noted("scored")) == crewed.trials
    assert {row["score"]: row["n"] for row in json.loads(out)["scores"]} == {"right": 80, "heavy": 80}


class ElsewhereOlder(LocalLauncher):
    """As if the workers had another version of a plugin."""

    def start(self, order: WorkOrder) -> RunningWorker:
        return super().start(replace(order, environment={**order.environment, "themis-plugin-files": "0.0.1"}))


def test_workers_of_other_versions_call_nothing(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    crewed = made(trials=20)
    monkeypatch.setenv("THEMIS_POSTGRES_URL", crewed.url)
    with pytest.raises(themis.PluginError, match=r"themis-plugin-files is .*, and 0\.0\.1 at the driver"):
        themis.run(crewed.spec, workers=2, launcher=ElsewhereOlder())
    assert crewed.calls == 0
    result = themis.run(crewed.spec, workers=1, launcher=ElsewhereOlder(), allow_differing_versions=True)
    assert (result.status, crewed.calls) == ("completed", crewed.trials)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
