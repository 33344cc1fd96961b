"""A component or hook that raises, hangs or burns: it costs what it was asked about, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lab.benchmark import Benchmark
from lab.workers import Workers, wait_until

import themis_core as themis

FAULTY = Path(__file__).parent / "lab" / "faulty_plugin.py"
VICTIM = "i2"
ITEMS = [f"i{number}" for number in range(5)]

BEFORE = {
    "import": "import",
    "register.loaders": "themis_register_dataset_loaders", "register.engines": "themis_register_engines",
    "register.extractors": "themis_register_extractors", "register.metrics": "themis_register_metrics",
    "register.judges": "themis_register_judges", "register.storage_backends": "themis_register_storage_backends",
    "loader.check": "check", "loader.identity": "identity", "loader.rows": "rows", "loader.fingerprint": "fingerprint",
    "engine.check": "check", "engine.endpoint": "endpoint", "engine.capabilities": "capabilities",
    "engine.start": "start", "extractor.check": "check", "metric.check": "check", "judge.check": "check",
    "judge.requires": "requires", "judge.baseline_model": "baseline_model",
}  # fmt: skip
"""Place to the method or hook that the error names."""
IN_A_TRIAL = {
    "engine.generate": ("failed", "engine_error"),
    "extractor.extract": ("answered", "extractor_error"),
    "metric.score": ("answered", "metric_error"),
    "metric.unscorable": ("answered", "metric_error"),
    "metric.empty": ("empty", "metric_error"),
    "metric.worst": ("refused", "metric_error"),
    "judge.requests": ("answered", "metric_error"),
    "judge.again": ("answered", "metric_error"),
    "judge.score": ("answered", "metric_error"),
    "judge.unscorable": ("answered", "metric_error"),
    "judge.empty": ("empty", "metric_error"),
    "judge.worst": ("refused", "metric_error"),
}
"""Place to the outcome of the trial, and the reason that it or one of its scores carries."""
PASSED_OVER = ("engine.stop", "observer.run_started", "observer.trial_finished", "observer.run_finished")
ENDS = ("SystemExit", "CancelledError", "KeyboardInterrupt")
"""What ends more than a component where it is taken for what it says."""
MORE = ("RecursionError", "MemoryError", "GeneratorExit", "StopIteration", "BaseExceptionGroup", "EngineError")
ERRORS = ("ValueError", *ENDS, *(MORE if os.environ.get("THEMIS_CHAOS") == "full" else ()))
TOLD = {"RuntimeError": "RuntimeError: ", "SystemExit": "SystemExit: 0", "EngineError": "EngineError: x: planted"}


def said(how: str) -> str:
    """How an error of this kind is told."""
    return TOLD.get(how, f"{how}: planted")


def make(folder: Path, **policy: Any) -> Path:
    """Write a spec in which every component is the faulty plugin's."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FAULTY, folder / "faulty.py")
    model = {"model_id": "m", "provider": "faulty/engine"}
    spec = {
        "project": {"plugins": {"faulty": "./faulty.py"}, "execution_policy": {"max_retries": 0, **policy}},
        "benchmark": {
            "benchmark_id": "faulty",
            "models": [model],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "Say: {{ item.id }}"}]}],
            "slices": [
                {
                    "slice_id": "all",
                    "dataset": {"source": "faulty/loader", "dataset_id": "x", "fields": {"reference": "reference"}},
                    "generation": {},
                    "parses": [{"name": "last", "extractors": ["faulty/extractor"]}],
                    "scores": [
                        {"name": "same", "parse": "last", "metrics": ["faulty/metric"]},
                        {"name": "judged", "metrics": [{"id": "faulty/judge", "judge": {"model": model}}]},
                    ],
                }
            ],
        },
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def stored(spec: Path) -> dict[str, tuple[str, str | None, dict[str, tuple[float | None, str | None]]]]:
    """Each item's outcome, error code and scores (value, reason of score or parse)."""
    with themis.open_results(spec) as results:
        (run,) = results.runs()
        scores: dict[str, dict[str, tuple[float | None, str | None]]] = {}
        for row in results.score_rows(run.run_id):
            scores.setdefault(row.item_id, {})[row.score] = (row.value, row.parse_reason or row.reason)
        trials = list(results.trials(run.run_id))
        return {row.item_id: (row.outcome, row.error_code, scores.get(row.item_id, {})) for row in trials}


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Any:
    def plant(place: str, how: str) -> None:
        monkeypatch.setenv("CHAOS_FAILS", place)
        monkeypatch.setenv("CHAOS_HOW", how)

    return plant


GOOD = ("answered", None, {"same": (1.0, None), "judged": (1.0, None)})


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize(("place", "local"), [*((place, False) for place in IN_A_TRIAL), ("engine.generate", True)])
def test_what_ends_a_component_within_a_trial_costs_that_trial_alone(
    tmp_path: Path, fail: Any, monkeypatch: pytest.MonkeyPatch, place: str, how: str, local: bool
) -> None:
    if local:
        monkeypatch.setenv("CHAOS_LOCAL", "1")
    fail(place, how)
    spec = make(tmp_path)
    result = themis.run(spec)
    found = stored(spec)
    assert {item: found[item] for item in ITEMS if item != VICTIM} == dict.fromkeys(set(ITEMS) - {VICTIM}, GOOD)
    outcome, code, scores = found[VICTIM]
    expected, reason = IN_A_TRIAL[place]
    if (place, how) == ("engine.generate", "EngineError"):
        reason = "x"  # an engine's own words for its failure
    assert outcome == expected
    assert reason in {code, *(why for _, why in scores.values())}
    with themis.open_results(spec) as results:
        (run,) = results.runs()
        (row,) = [each for each in results.trials(run.run_id) if each.item_id == VICTIM]
        told = json.dumps(results.trial(run.run_id, row.trial_id), default=str)
    component, method = place.split(".")
    if reason != "x":
        named = result.errors[reason]
        assert named.startswith(f"faulty/{component}: {method}: "), "the command says whose fault it was"
        if (place, how) != ("engine.generate", "StopIteration"):  # a coroutine's becomes a RuntimeError
            assert said(how) in named
            assert said(how) in told, "the timeline of the trial says what happened"


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("place", BEFORE)
def test_what_ends_a_component_before_the_trials_is_an_error_that_names_it(
    tmp_path: Path, fail: Any, place: str, how: str
) -> None:
    fail(place, how)
    if how == "StopIteration" and place in ("engine.start", "loader.rows"):
        how = "RuntimeError"  # Python makes it one, of a generator's and of a coroutine's
    spec = make(tmp_path)
    with pytest.raises(themis.ThemisError) as raised:
        themis.run(spec)
    refused = how == "ValueError" and place.endswith(".check")  # the way to refuse a config, told with its place
    assert raised.value.exit_code == (2 if refused else 3)
    named = r"spec\.json:.*planted" if refused else rf"faulty.* failed at {BEFORE[place]}: {re.escape(said(how))}"
    assert re.search(named, str(raised.value), re.DOTALL), raised.value


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("place", PASSED_OVER)
def test_what_ends_an_observer_or_comes_at_the_end_changes_nothing(
    tmp_path: Path, fail: Any, place: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    fail(place, how)
    spec = make(tmp_path)
    assert themis.run(spec).status == "completed"
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)
    component, method = place.split(".")
    named = "faulty/engine failed at stop" if component == "engine" else f"plugin 'faulty' failed at themis_{method}"
    if (place, how) != ("engine.stop", "StopIteration"):
        named += f": {said(how)}"
    assert any(record.getMessage().startswith(named) for record in caplog.records), "it is logged, with its name"


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("place", ["metric.aggregate", "judge.aggregate"])
def test_what_ends_a_component_while_results_are_summed_up_costs_that_number(
    tmp_path: Path, fail: Any, place: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    fail(place, how)
    spec = make(tmp_path)
    values = {row.score: row.value for row in themis.run(spec).scores}
    lost = "same" if place == "metric.aggregate" else "judged"
    assert values == {"same": 1.0, "judged": 1.0} | {lost: None}
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)
    assert any(f"failed at aggregate: {said(how)}" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("place", ["engine.task", "engine.callback", "engine.loop"])
def test_what_a_component_does_to_the_event_loop_beside_its_calls_does_not_end_the_run(
    tmp_path: Path, fail: Any, place: str, how: str
) -> None:
    fail(place, how)
    spec = make(tmp_path)
    assert themis.run(spec).status == "completed"
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)


def test_an_exit_that_is_taken_for_the_command_s_own_would_look_like_success(tmp_path: Path, fail: Any) -> None:
    fail("loader.check", "SystemExit")
    make(tmp_path)
    control = "import faulty; faulty.Loader().check(None); raise AssertionError('not reached')"
    done = subprocess.run([sys.executable, "-c", control], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0


def test_a_run_that_an_error_ended_is_not_left_running(tmp_path: Path, fail: Any) -> None:
    fail("engine.start", "SystemExit")
    spec = make(tmp_path)
    with pytest.raises(themis.PluginError):
        themis.run(spec)
    with themis.open_results(spec) as results:
        assert [run.status for run in results.runs()] == ["failed"]
    fail("", "")
    assert themis.run(spec).status == "completed"


@pytest.mark.parametrize("how", ["wait", "swallow"])
def test_an_engine_that_never_answers_meets_its_deadline(tmp_path: Path, fail: Any, how: str) -> None:
    fail("", how)
    spec = make(tmp_path, attempt_timeout_s=0.3)
    began = time.monotonic()
    result = themis.run(spec)
    assert time.monotonic() - began < 20
    found = stored(spec)
    assert found.pop(VICTIM) == ("failed", "timeout", {})
    assert found == dict.fromkeys(set(ITEMS) - {VICTIM}, GOOD)
    alone = "; the engine ignores its cancellation and was left alone" if how == "swallow" else ""
    assert result.errors == {"timeout": f"faulty/engine: generate: no reply within 0.3 s{alone}"}


def test_an_engine_that_does_not_start_in_time_is_an_error_that_names_it(tmp_path: Path, fail: Any) -> None:
    fail("engine.start", "swallow")
    with pytest.raises(themis.PluginError, match=r"^faulty/engine: start took longer than 0\.2 s: raise execution_po"):
        themis.run(make(tmp_path, start_timeout_s=0.2))


def test_an_engine_that_does_not_stop_in_time_is_told_of_and_left(
    tmp_path: Path, fail: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fail("engine.stop", "swallow")
    spec = make(tmp_path, stop_timeout_s=0.2)
    assert themis.run(spec).status == "completed"
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)
    assert "faulty/engine: stop took longer than 0.2 s" in caplog.text


@pytest.mark.parametrize("place", ["engine.start", "engine.stop", ""])
def test_two_signals_end_an_engine_that_swallows_its_cancellation(
    workers: Workers, tmp_path: Path, count: Callable[[int, int], int], place: str
) -> None:
    make(tmp_path).rename(tmp_path / "chaos.json")
    benchmark = Benchmark(tmp_path, {})
    worker = workers.start(benchmark, environment={"CHAOS_FAILS": place, "CHAOS_HOW": "swallow"})
    wait_until((tmp_path / "stuck").exists)
    worker.kill(signal.SIGINT)
    time.sleep(0.3)
    with suppress(ProcessLookupError):
        worker.kill(signal.SIGINT)
    assert worker.wait(count(3, 10)) == 130, worker.said
    assert "Traceback" not in worker.said


BLOCKED = (
    "engine.generate", "metric.worst", "engine.start", "extractor.extract", "metric.score", "judge.requests",
    "judge.score", "observer.trial_finished", "observer.run_started",
)  # fmt: skip
REFUSED = ("refused", None, {"same": (0.0, None), "judged": (0.0, None)})
"""The victim's answer where `worst` is to be called: it was stored before the component blocked, and is kept."""


@pytest.mark.parametrize("how", ["hang", "burn"])
def test_a_component_that_blocks_can_be_ended_and_takes_nothing_with_it(
    workers: Workers, tmp_path: Path, count: Callable[[int, int], int], figures: Callable[..., None], how: str
) -> None:
    """Python code that does not return can't be stopped from within; two signals end it, and what was saved stays."""
    places = BLOCKED[: count(len(BLOCKED), 3)]
    for place in places:
        folder = tmp_path / place
        make(folder).rename(folder / "chaos.json")
        benchmark = Benchmark(folder, {})
        worker = workers.start(benchmark, environment={"CHAOS_FAILS": place, "CHAOS_HOW": how})
        wait_until((folder / "stuck").exists)
        worker.kill(signal.SIGINT)
        time.sleep(0.3)
        with suppress(ProcessLookupError):
            worker.kill(signal.SIGINT)
        assert worker.wait(count(3, 10)) == 130, f"{place}: {worker.said}"  # with small counts, others work meanwhile
        assert workers.run(benchmark) == 0
        kept = {VICTIM: REFUSED} if place == "metric.worst" else {}
        assert stored(benchmark.spec) == dict.fromkeys(ITEMS, GOOD) | kept
    figures(places=len(places), ended=len(places), lost=0)


# --- components that don't return ---------------------------------------------------------------------------

LANES = ("inline", "thread", "process")
SCORING = tuple(place for place in IN_A_TRIAL if not place.startswith("engine."))
FULL = os.environ.get("THEMIS_CHAOS") == "full"
HANGS = [
    (place, lane, how)
    for number, place in enumerate(SCORING)
    for lane in LANES
    for how in ("hang", "burn", *(["pattern"] if lane != "thread" else []))
    # In short, each place with one of them, and each of them at some place.
    if FULL or (number % 8 == 2 * LANES.index(lane) + (how == "burn") and how != "pattern")
]


@pytest.mark.parametrize(("place", "lane", "how"), HANGS)
def test_a_component_that_does_not_return_costs_its_own_score(
    tmp_path: Path, fail: Any, monkeypatch: pytest.MonkeyPatch, place: str, lane: str, how: str
) -> None:
    monkeypatch.setenv("CHAOS_LANE", lane)
    fail(place, how)
    spec = make(tmp_path, seconds_per_call=0.4)
    themis.run(spec)
    found = stored(spec)
    assert {item: found[item] for item in ITEMS if item != VICTIM} == dict.fromkeys(set(ITEMS) - {VICTIM}, GOOD)
    outcome, _, scores = found[VICTIM]
    expected, reason = IN_A_TRIAL[place]
    assert (outcome, reason.replace("_error", "_timeout")) in {(expected, why) for _, why in scores.values()}
    fail("", "")
    assert themis.run(spec).status == "completed", "the next run scores what has no score"


@pytest.mark.parametrize("how", ["exit", "kill", "memory", "print"])
@pytest.mark.parametrize("place", SCORING if FULL else ("extractor.extract", "metric.score", "judge.score"))
def test_what_ends_or_fills_a_process_costs_its_own_score(
    tmp_path: Path, fail: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: str, how: str
) -> None:
    monkeypatch.setenv("CHAOS_LANE", "process")
    fail(place, how)
    spec = make(tmp_path, process_memory_mb=512)
    result = themis.run(spec)
    found = stored(spec)
    victim = found.pop(VICTIM)
    assert found == dict.fromkeys(set(ITEMS) - {VICTIM}, GOOD)
    if how == "print":
        assert victim[0] == IN_A_TRIAL[place][0]
        assert capfd.readouterr().out == ""
        return
    reason = IN_A_TRIAL[place][1]
    assert reason in {why for _, why in victim[2].values()}
    ended = {
        "exit": "ended with exit code 3",
        "kill": "was ended by SIGKILL",
        "memory": "ran out of memory (limit 512 MB",
    }
    assert ended[how] in result.errors[reason]


SLOW_BEFORE = (
    "loader.check", "loader.identity", "loader.rows", "loader.fingerprint", "engine.check", "engine.endpoint",
    "metric.check", "judge.requires", "import", "register.metrics",
)  # fmt: skip


@pytest.mark.parametrize("how", ["hang", "burn", "pattern"] if FULL else ["hang"])
@pytest.mark.parametrize("place", SLOW_BEFORE if FULL else SLOW_BEFORE[:4])
def test_a_component_that_does_not_return_before_the_run_is_an_error_that_names_it(
    tmp_path: Path, fail: Any, place: str, how: str
) -> None:
    fail(place, how)
    with pytest.raises(themis.PluginError, match=rf"faulty.*: {BEFORE[place]} took longer than 0\.8 s: raise exec"):
        themis.run(make(tmp_path, start_timeout_s=0.8))


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("how", ["hang", "burn"])
def test_an_aggregate_that_does_not_return_costs_its_number(
    tmp_path: Path, fail: Any, monkeypatch: pytest.MonkeyPatch, how: str, lane: str
) -> None:
    monkeypatch.setenv("CHAOS_LANE", lane)
    fail("metric.aggregate", how)
    spec = make(tmp_path, seconds_per_call=0.4)
    assert {row.score: row.value for row in themis.run(spec).scores} == {"same": None, "judged": 1.0}
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)


@pytest.mark.parametrize("how", ["hang", "burn", "pattern"])
def test_an_engine_that_holds_up_the_event_loop_meets_its_deadline(tmp_path: Path, fail: Any, how: str) -> None:
    fail("engine.generate", how)
    spec = make(tmp_path, attempt_timeout_s=0.4)
    themis.run(spec)
    found = stored(spec)
    assert found.pop(VICTIM)[:2] == ("failed", "timeout")
    assert found == dict.fromkeys(set(ITEMS) - {VICTIM}, GOOD)


@pytest.mark.parametrize("place", ["observer.run_started", "observer.trial_finished", "observer.run_finished"])
def test_an_observer_that_does_not_return_is_told_no_more(
    tmp_path: Path, fail: Any, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    fail(place, "hang")
    spec = make(tmp_path, seconds_per_call=0.4)
    assert themis.run(spec).status == "completed"
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)
    assert "not done within 0.4 s (execution_policy.seconds_per_call)" in caplog.text
