"""A threshold is judged on what was planned; a row without any score, and scores that are missing, are said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import themis_core as themis
from themis_core.cli import cli
from themis_core.results.thresholds import Facts, judge_all
from themis_core.results.verdicts import nothing_scored, only_absent, warnings_of

ROW = themis.ResultRow("s", "m", "v", "default", "accuracy", "text/x", 0.9, 20, None, None, None, None, None, 0, 0, 0)


def row(n: int, *, failed: int = 0, unparsed: int = 0, value: float | None = 0.9, **reasons: int) -> themis.ResultRow:
    unscored = sum(reasons.values())
    return replace(ROW, value=value, n=n, failed=failed, unscored=unscored, unparsed=unparsed, reasons=reasons)


BASELINE = row(0, value=None, is_baseline=20)
NOTHING = row(0, value=None, no_verdict=20)
JUDGED: list[tuple[dict[str, Any], list[themis.ResultRow], int, bool, bool, str | None]] = [
    # what the threshold allows, rows, unfinished trials; met, judged, why
    ({}, [row(20)], 0, True, True, None),
    ({"minimum": 0.95}, [row(20)], 0, False, True, None),
    ({}, [row(1, no_verdict=19)], 0, False, False, "19 of 20 scores are missing (no_verdict 19), and max_missing is 0"),
    ({}, [row(19, failed=1)], 0, False, False, "1 of 20 scores is missing (failed 1), and max_missing is 0"),
    ({}, [row(17, failed=1, too_long=2)], 0, False, False, "3 of 20 scores are missing (failed 1, too_long 2), and"),
    ({"max_missing": 0.15}, [row(17, failed=1, too_long=2)], 0, True, True, None),
    ({"max_missing": 0.1}, [row(17, failed=1, too_long=2)], 0, False, False, "3 of 20 scores are missing"),
    ({"max_missing": 1.0}, [NOTHING], 0, False, False, "nothing was scored"),
    ({"max_missing": 1.0}, [row(20)], 3, False, False, "the run is unfinished: 3 trials have no outcome yet"),
    ({}, [row(20)], 1, False, False, "the run is unfinished: 1 trial has no outcome yet"),
    ({}, [row(20, unparsed=20)], 0, False, False, "the parse found nothing in any of 20 answers"),
    ({}, [row(20, unparsed=19)], 0, True, True, None),
    ({"max_unparsed": 0.5}, [row(20, unparsed=11)], 0, False, False, "11 of 20 answers are unparsed"),
    ({"max_unparsed": 1.0}, [row(20, unparsed=20)], 0, True, True, None),
    ({"minimum": None, "maximum": 0.1}, [row(20, value=0.0, unparsed=20)], 0, False, False, "the parse found nothing"),
    ({}, [row(20), BASELINE], 0, True, True, None),
    ({}, [BASELINE], 0, False, False, "no row of the results is of that kind"),
    ({}, [], 0, False, False, "no row of the results is of that kind"),
    ({}, [row(20), row(18, no_verdict=2)], 0, False, False, "2 of 20 scores are missing"),
    ({}, [row(20), row(0, value=None, failed=20)], 0, False, False, "20 of 20 scores are missing (failed 20)"),
    ({}, [row(1, absent=19)], 0, True, True, None),
    ({}, [row(1, absent=17, no_verdict=2)], 0, False, False, "2 of 3 scores are missing (no_verdict 2), and max_mis"),
    ({}, [row(1, absent=17, failed=2)], 0, False, False, "2 of 3 scores are missing (failed 2), and max_missing is"),
    ({}, [row(20), row(0, value=None, absent=20)], 0, False, False, "nothing was scored"),
]


@pytest.mark.parametrize(("allowed", "rows", "unfinished", "met", "is_judged", "why"), JUDGED)
def test_a_threshold_is_judged_on_what_was_planned(
    allowed: dict[str, Any], rows: list[themis.ResultRow], unfinished: int, met: bool, is_judged: bool, why: str | None
) -> None:
    threshold = themis.ThresholdSpec.model_validate({"score": "accuracy", "minimum": 0.5, **allowed})
    (found,) = judge_all([threshold], Facts(rows, unfinished))
    assert (found["met"], found["judged"]) == (met, is_judged)
    assert found["why"] is None if why is None else found["why"].startswith(why)


@pytest.mark.parametrize(
    ("value", "bound", "met"),
    [
        (1 + -7 / 10, {"maximum": 0.3}, True),
        (1 + -9 / 10, {"minimum": 0.1}, True),
        (1 + -9 / 10, {"minimum": 0.1, "maximum": 0.1}, True),
        (0.3 + 1e-9, {"maximum": 0.3}, False),
        (0.0, {"minimum": 1e-15}, False),
        (1e-15, {"maximum": 0.0}, False),
    ],
)
def test_a_bound_is_not_missed_by_rounding_alone(value: float, bound: dict[str, float], met: bool) -> None:
    threshold = themis.ThresholdSpec.model_validate({"score": "accuracy", **bound})
    (found,) = judge_all([threshold], Facts([row(10, value=value)]))
    assert (found["met"], not found["missed"]) == (met, met)


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (NOTHING, True),
        (row(0, value=None, failed=3, metric_error=1), True),
        (row(0, value=None, is_baseline=1, no_verdict=1), True),
        (row(2, value=None), True),  # the aggregate failed
        (row(0, value=None, failed=20), False),
        (row(0, value=None), False),
        (BASELINE, False),
        (row(1, no_verdict=19), False),
        (row(0, value=None, absent=1, no_verdict=1), True),
        (row(1, absent=19), False),
    ],
)
def test_a_row_without_any_score_is_told_from_failed_trials_and_baselines(
    each: themis.ResultRow, expected: bool
) -> None:
    assert nothing_scored(each) is expected
    assert bool(warnings_of([each], {})) is (expected or any(name in themis.SCORE_FAULTS for name in each.reasons))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(0, value=None, absent=20)], ["accuracy/text/x"]),
        ([row(0, value=None, absent=20), row(0, value=None, absent=1)], ["accuracy/text/x"]),
        ([row(0, value=None, absent=20), row(1, absent=19)], []),
        ([row(0, value=None, absent=20), NOTHING], []),  # which is told as a row without any score
        ([row(0, value=None, absent=20), row(0, value=None)], ["accuracy/text/x"]),
        ([row(0, value=None)], []),
        ([], []),
    ],
)
def test_a_score_that_is_absent_everywhere_is_told(rows: list[themis.ResultRow], expected: list[str]) -> None:
    assert only_absent(rows) == expected
    assert [each.split(":")[0] for each in warnings_of(rows, {}) if "all scores are absent" in each] == expected


PLUGIN = """
from themis_core import Engine, Generation, Metric, Score, hookimpl


class Echo(Engine):
    async def generate(self, request):
        return Generation("answered", text="x")


class Fragile(Metric):
    def score(self, item, generation, value):
        if item.id in ("all", value):
            raise ValueError("planted")
        return Score(1.0)


class Whole(Fragile):
    aggregates_mean = False

    def aggregate(self, scores):
        return 17.0


class Broken(Fragile):
    def score(self, item, generation, value):
        raise ValueError("planted")


@hookimpl
def themis_register_engines(register):
    register("echo", Echo)


@hookimpl
def themis_register_metrics(register):
    register("fragile", Fragile)
    register("whole", Whole)
    register("broken", Broken)
"""


def spec(folder: Path, metric: str, storage: dict[str, Any] | None = None, **benchmark: Any) -> Path:
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    rows = [{"id": f"i{number}", "output": "i2"} for number in range(4)]
    dataset = {"source": "files/inline", "fields": {"output": "output"}, "extras": {"rows": rows}}
    only = {"slice_id": "s", "dataset": dataset, "scores": [{"name": "own", "metrics": [metric]}]}
    data = {
        "project": {"plugins": {"mine": "mine.py"}, "storage": storage or {"backend": "sqlite"}},
        "benchmark": {"benchmark_id": "b", "slices": [only], **benchmark},
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def themis_command(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments), prog_name="themis")


@pytest.mark.parametrize(
    ("metric", "exit_code", "said"),
    [
        (
            "mine/fragile",
            0,
            ["own/mine/fragile: 1 of 4 scores is missing", "mine/fragile: score: ValueError: planted"],
        ),
        ("mine/broken", 5, ["own/mine/broken: 4 of 4 scores are missing", "nothing could be scored for s", "planted"]),
        ("mine/whole", 5, ["own/mine/whole: nothing could be scored for s", "its aggregate failed"]),
        ("text/exact_match", 5, ["own/text/exact_match: nothing could be scored for s", "no_reference 4"]),
    ],
)
def test_what_is_missing_is_said_and_nothing_scored_is_exit_5(
    tmp_path: Path, metric: str, exit_code: int, said: list[str]
) -> None:
    path = spec(tmp_path, metric)
    done = themis_command("run", str(path), "--quiet")
    assert done.exit_code == exit_code
    for text in said:
        assert text in done.stderr
    again = themis_command("run", str(path), "--quiet", "--format", "json")
    result = json.loads(again.stdout)
    assert (again.exit_code, bool(result["warnings"])) == (exit_code, True)
    if metric == "mine/whole":
        return  # what shows stored runs knows no loose plugin, and this one's aggregate is needed
    shown = themis_command("show", "run", result["run_id"], "--spec", str(path), "--format", "json")
    kept = json.loads(shown.stdout)["result"]
    assert (kept["scores"], kept["warnings"]) == (result["scores"], result["warnings"])
    with themis.open_results(path) as results:
        assert results.result(result["run_id"]).to_dict()["scores"] == result["scores"]


def test_a_threshold_over_missing_scores_exits_with_1_and_says_that_it_is_not_judged(tmp_path: Path) -> None:
    path = spec(tmp_path, "mine/fragile", thresholds=[{"score": "own", "minimum": 0.5}])
    done = themis_command("run", str(path), "--quiet")
    assert done.exit_code == 1
    assert "threshold NOT JUDGED, so not met: score own, minimum 0.5" in done.stdout
    assert "1 of 4 scores is missing (metric_error 1), and max_missing is 0" in done.stdout
    path = spec(tmp_path, "mine/fragile", thresholds=[{"score": "own", "minimum": 0.5, "max_missing": 0.25}])
    done = themis_command("run", str(path), "--quiet")
    assert (done.exit_code, "threshold met: score own" in done.stdout) == (0, True)


def test_a_run_that_a_budget_stopped_judges_no_threshold(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    path = tmp_path / "spec.json"
    rows = [{"id": f"i{number}", "gold": "x"} for number in range(4)]
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "mine/echo"}],
        "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/inline", "fields": {"reference": "gold"}, "extras": {"rows": rows}},
                "generation": {},
                "scores": [{"name": "own", "metrics": ["text/exact_match"]}],
            }
        ],
        "thresholds": [{"score": "own", "minimum": 0.5, "max_missing": 1.0}],
    }
    project = {"plugins": {"mine": "mine.py"}, "execution_policy": {"max_calls": 2}}
    path.write_text(json.dumps({"project": project, "benchmark": benchmark}), encoding="utf-8")
    done = themis_command("run", str(path), "--quiet")
    assert (done.exit_code, "threshold met" in done.stdout) == (6, False)
    assert "threshold NOT JUDGED, so not met: score own" in done.stdout
    assert "the run is unfinished: 2 trials have no outcome yet" in done.stdout
