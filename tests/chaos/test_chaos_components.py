"""A component or hook that raises, hangs or burns: it costs what it was asked about, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
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

BEFORE = (
    "loader.check", "loader.rows", "loader.fingerprint", "engine.check", "extractor.check", "metric.check",
    "judge.check",
)  # fmt: skip
IN_A_TRIAL = {
    "engine.generate": ("failed", "engine_error"),
    "extractor.extract": ("answered", "extractor_error"),
    "metric.score": ("answered", "metric_error"),
    "metric.worst": ("empty", "metric_error"),
    "judge.requests": ("answered", "metric_error"),
    "judge.score": ("answered", "metric_error"),
    "judge.worst": ("empty", "metric_error"),
}
"""Place to the outcome of the trial, and the reason that it or one of its scores carries."""
PASSED_OVER = ("engine.stop", "observer.run_started", "observer.trial_finished", "observer.run_finished")
ERRORS = (
    ("ValueError", "RecursionError", "MemoryError") if os.environ.get("THEMIS_CHAOS") == "full" else ("ValueError",)
)


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
@pytest.mark.parametrize("place", IN_A_TRIAL)
def test_an_exception_about_one_trial_costs_that_trial_alone(tmp_path: Path, fail: Any, place: str, how: str) -> None:
    fail(place, how)
    spec = make(tmp_path)
    themis.run(spec)
    found = stored(spec)
    assert {item: found[item] for item in ITEMS if item != VICTIM} == dict.fromkeys(set(ITEMS) - {VICTIM}, GOOD)
    outcome, code, scores = found[VICTIM]
    expected, reason = IN_A_TRIAL[place]
    assert outcome == expected
    assert reason in {code, *(why for _, why in scores.values())}
    with themis.open_results(spec) as results:
        (run,) = results.runs()
        (row,) = [each for each in results.trials(run.run_id) if each.item_id == VICTIM]
        told = json.dumps(results.trial(run.run_id, row.trial_id), default=str)
    assert f"{how}: planted" in told, "the timeline of the trial says what happened"


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("place", BEFORE)
def test_an_exception_before_the_run_is_an_error_that_names_the_component(
    tmp_path: Path, fail: Any, place: str, how: str
) -> None:
    fail(place, how)
    with pytest.raises(themis.ThemisError, match=r"(?s)(faulty/|spec\.json:).*planted"):
        themis.run(make(tmp_path))


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("place", PASSED_OVER)
def test_an_exception_of_an_observer_or_at_the_end_changes_nothing(
    tmp_path: Path, fail: Any, place: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    fail(place, how)
    spec = make(tmp_path)
    assert themis.run(spec).status == "completed"
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)
    assert any("faulty" in record.getMessage() for record in caplog.records), "it is logged, with its name"


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("place", ["metric.aggregate", "judge.aggregate"])
def test_an_exception_while_results_are_summed_up_costs_that_number(
    tmp_path: Path, fail: Any, place: str, how: str
) -> None:
    fail(place, how)
    spec = make(tmp_path)
    values = {row.score: row.value for row in themis.run(spec).scores}
    lost = "same" if place == "metric.aggregate" else "judged"
    assert values == {"same": 1.0, "judged": 1.0} | {lost: None}
    assert stored(spec) == dict.fromkeys(ITEMS, GOOD)


@pytest.mark.parametrize("how", ERRORS)
def test_an_engine_that_does_not_start_is_an_error_that_names_it(tmp_path: Path, fail: Any, how: str) -> None:
    fail("engine.start", how)
    with pytest.raises(themis.ThemisError, match=r"(?s)faulty/engine.*planted"):
        themis.run(make(tmp_path))


def test_an_engine_that_never_answers_meets_its_deadline(tmp_path: Path, fail: Any) -> None:
    fail("", "wait")
    spec = make(tmp_path, attempt_timeout_s=0.3)
    themis.run(spec)
    found = stored(spec)
    assert found.pop(VICTIM) == ("failed", "timeout", {})
    assert found == dict.fromkeys(set(ITEMS) - {VICTIM}, GOOD)


BLOCKED = (
    "engine.generate", "extractor.extract", "metric.score", "metric.worst", "judge.requests", "judge.score",
    "observer.trial_finished", "observer.run_started", "engine.start",
)  # fmt: skip


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
        assert worker.wait(2.5) == 130, f"{place}: {worker.said}"
        assert workers.run(benchmark) == 0
        assert stored(benchmark.spec) == dict.fromkeys(ITEMS, GOOD)
    figures(places=len(places), ended=len(places), lost=0)
