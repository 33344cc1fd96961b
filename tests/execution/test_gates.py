"""Thresholds on more than a value: bounds of intervals, unparsed answers, failed trials, cost, latency."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import themis_core as themis
from themis_core.cli import cli
from themis_core.results.thresholds import Facts, judge_all, tolerated

ROW = themis.ResultRow("s", "m", "v", "default", "acc", "x", 0.9, 20, 0.05, 0.7, 0.97, "wilson", None, 0, 0, 0)
COUNTS = [
    themis.OutcomeCount("s", "m", "v", "default", "answered", None, 97),
    themis.OutcomeCount("s", "m", "v", "default", "failed", "timeout", 3),
    themis.OutcomeCount("s", "n", "v", "default", "answered", None, 100),
]
LATENCIES = [themis.Latency("s", "m" if number % 2 else "n", "v", "default", number / 10) for number in range(1, 21)]
FACTS = Facts([ROW], 0, COUNTS, themis.RunCost(2.5), lambda: LATENCIES)

JUDGED: list[tuple[dict[str, Any], Facts, bool, float | None, str | None]] = [
    # the threshold, what it is judged on; whether it is met, the number that was compared, why it is not judged
    ({"measure": "low", "score": "acc", "minimum": 0.7}, FACTS, True, 0.7, None),
    ({"measure": "low", "score": "acc", "minimum": 0.71}, FACTS, False, 0.7, None),
    ({"measure": "high", "score": "acc", "maximum": 0.97}, FACTS, True, 0.97, None),
    ({"measure": "high", "score": "acc", "maximum": 0.9}, FACTS, False, 0.97, None),
    (
        {"measure": "low", "score": "acc", "minimum": 0.7},
        Facts([replace(ROW, low=None, high=None, interval=None, no_interval="one_item")]),
        False,
        None,
        "there is no interval (one_item)",
    ),
    ({"measure": "unparsed", "score": "acc", "maximum": 0.1}, Facts([replace(ROW, unparsed=2)]), True, 0.1, None),
    ({"measure": "unparsed", "score": "acc", "maximum": 0.1}, Facts([replace(ROW, unparsed=20)]), False, 1.0, None),
    (
        {"measure": "unparsed", "score": "acc", "maximum": 0.1},
        Facts([replace(ROW, n=0, value=None)]),
        False,
        None,
        "nothing was scored",
    ),
    ({"measure": "failed", "maximum": 0.015}, FACTS, True, 0.015, None),
    ({"measure": "failed", "maximum": 0.01}, FACTS, False, 0.015, None),
    ({"measure": "failed", "maximum": 0.02, "model_id": "m"}, FACTS, False, 0.03, None),
    ({"measure": "failed", "maximum": 0.0, "model_id": "n"}, FACTS, True, 0.0, None),
    ({"measure": "failed", "maximum": 0.5, "model_id": "o"}, FACTS, False, None, "no trial of the run is of that kind"),
    (
        {"measure": "failed", "maximum": 0.5},
        replace(FACTS, unfinished=1),
        False,
        None,
        "the run is unfinished: 1 trial",
    ),
    ({"measure": "cost", "maximum": 2.5}, FACTS, True, 2.5, None),
    ({"measure": "cost", "maximum": 2.0}, FACTS, False, 2.5, None),
    ({"measure": "cost", "maximum": 0.0}, replace(FACTS, cost=themis.RunCost()), True, 0.0, None),
    ({"measure": "cost", "maximum": 4.0}, replace(FACTS, cost=themis.RunCost(2.5, 1, 1.5)), True, 4.0, None),
    (
        {"measure": "cost", "maximum": 3.0},
        replace(FACTS, cost=themis.RunCost(2.5, 1, 1.5)),
        False,
        None,
        "the cost of 1 call is unknown, 4 at most",
    ),
    (
        {"measure": "cost", "maximum": 3.0},
        replace(FACTS, cost=themis.RunCost(2.5, 2, None)),
        False,
        None,
        "the cost of 2 calls is unknown",
    ),
    ({"measure": "cost", "maximum": 2.0}, replace(FACTS, cost=themis.RunCost(2.5, 2, None)), False, 2.5, None),
    ({"measure": "latency_p50", "maximum": 1.0}, FACTS, True, 1.0, None),  # the 10th of 20
    ({"measure": "latency_p95", "maximum": 1.8}, FACTS, False, 1.9, None),  # the 19th of 20
    ({"measure": "latency_p99", "maximum": 2.0}, FACTS, True, 2.0, None),  # 19.8: the 20th
    ({"measure": "latency_p50", "maximum": 1.0, "model_id": "m"}, FACTS, True, 0.9, None),  # the 5th of 10
    ({"measure": "latency_p95", "maximum": 9.0}, replace(FACTS, latencies=list), False, None, "no call has a latency"),
]


@pytest.mark.parametrize(("given", "facts", "met", "compared", "why"), JUDGED)
def test_a_threshold_compares_what_it_measures_and_is_not_met_where_that_is_unknown(
    given: dict[str, Any], facts: Facts, met: bool, compared: float | None, why: str | None
) -> None:
    (found,) = judge_all([themis.ThresholdSpec.model_validate(given)], facts)
    assert (found["met"], found["judged"], found["rows"]) == (met, why is None, 0 if compared is None else 1)
    assert (found["worst"] or {}).get("value") == (None if compared is None else pytest.approx(compared))
    assert found["why"] is None if why is None else found["why"].startswith(why)


def test_the_worst_of_several_rows_is_the_one_nearest_to_its_bound() -> None:
    rows = [replace(ROW, model_id=str(value), value=value) for value in (0.9, 0.6, 0.7)]
    given = {"score": "acc", "minimum": 0.65}
    (found,) = judge_all([themis.ThresholdSpec.model_validate(given)], Facts(rows))
    named = {"score": "acc", "metric": "x", "slice_id": "s", "prompt_variant_id": "v", "params": "default"}
    worst = {**named, "model_id": "0.6", "value": 0.6}
    assert found == {
        "measure": "value",
        **given,
        "met": False,
        "judged": True,
        "why": None,
        "rows": 3,
        "worst": worst,
        "missed": [worst],
        "unjudged": [],
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"score": "a"}, "a threshold needs minimum or maximum"),
        ({"score": "a", "minimum": 0.9, "maximum": 0.1}, "minimum 0.9 is greater than maximum 0.1"),
        ({"minimum": 0.9}, "measure value is of a score: name it in `score`"),
        ({"measure": "low", "minimum": 0.9}, "measure low is of a score: name it in `score`"),
        ({"measure": "failed", "score": "a", "maximum": 0.1}, "measure failed is of trials: leave out score"),
        ({"measure": "cost", "model_id": "m", "maximum": 1}, "measure cost is of the whole run: leave out model_id"),
        (
            {"measure": "latency_p95", "max_missing": 0.1, "metric": "x", "maximum": 1},
            "measure latency_p95 is of calls: leave out metric, max_missing",
        ),
        (
            {"measure": "unparsed", "score": "a", "max_unparsed": 0.1, "maximum": 0.2},
            "measure unparsed is of answers: leave out max_unparsed",
        ),
        ({"measure": "cost", "minimum": 1}, "measure cost has a maximum, and no minimum: less is better"),
        ({"measure": "failed", "maximum": 5}, "maximum of failed is a share, from 0 to 1: 5 % is 0.05, not 5"),
        ({"measure": "latency_p95", "maximum": -1}, "maximum of latency_p95 is 0 or more, not -1"),
        ({"measure": "latency", "maximum": 1}, "'latency_p50', 'latency_p95' or 'latency_p99'"),
    ],
)
def test_a_threshold_that_makes_no_sense_says_why(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        themis.ThresholdSpec.model_validate(given)
    assert told in str(raised.value)


ENGINE = """
from themis_core import Engine, Generation, hookimpl


class Flaky(Engine):
    async def generate(self, request):
        if request.item_id in ("i0",):
            return Generation("failed", error_code="bad_request", error="planted")
        return Generation("answered", text="x", latency_s=0.25)


@hookimpl
def themis_register_engines(register):
    register("flaky", Flaky)
"""


def spec(folder: Path, thresholds: list[dict[str, Any]], items: int = 20, **changes: Any) -> Path:
    (folder / "mine.py").write_text(ENGINE, encoding="utf-8")
    rows = [{"id": f"i{number}", "gold": "x"} for number in range(items)]
    only = {
        "slice_id": "s",
        "dataset": {"source": "files/inline", "fields": {"id": "id", "reference": "gold"}, "extras": {"rows": rows}},
        "generation": {},
        "scores": [{"name": "own", "metrics": ["text/exact_match"]}],
    }
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "mine/flaky", **changes}],
        "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.id }}"}]}],
        "slices": [only],
        "thresholds": thresholds,
    }
    path = folder / "spec.json"
    path.write_text(json.dumps({"project": {"plugins": {"mine": "mine.py"}}, "benchmark": benchmark}), "utf-8")
    return path


def runs(path: Path, *arguments: str) -> Iterator[Any]:
    """The run, and the same run shown from the store."""
    done = CliRunner().invoke(cli, ["run", str(path), "--quiet", *arguments], prog_name="themis")
    yield done
    (run_id,) = {word.rstrip(":") for word in done.stdout.split() if word.startswith("b-")}
    yield CliRunner().invoke(cli, ["show", "run", run_id, "--spec", str(path)], prog_name="themis")


@pytest.mark.parametrize(
    ("thresholds", "exit_code", "said"),
    [
        ([], 5, []),
        ([{"measure": "failed", "maximum": 0.05}], 0, ["threshold met: measure failed, maximum 0.05: 0.05"]),
        ([{"measure": "failed", "maximum": 0.04}], 5, ["threshold NOT MET: measure failed", "    all: 0.05"]),
        ([{"measure": "failed", "maximum": 0.05, "model_id": "m"}], 0, ["threshold met: measure failed, model_id m"]),
        (
            [{"measure": "failed", "maximum": 0.05}, {"measure": "failed", "maximum": 0.01, "model_id": "m"}],
            5,
            ["threshold NOT MET: measure failed, model_id m, maximum 0.01"],
        ),
        (
            [{"measure": "failed", "maximum": 0.05}, {"score": "own", "minimum": 0.5}],
            0,
            ["failed trials are no more than the thresholds on `failed` accept", "threshold met: score own"],
        ),
        (
            [{"measure": "failed", "maximum": 0.05}, {"score": "own", "minimum": 0.5, "max_missing": 0}],
            1,
            ["threshold NOT JUDGED, so not met: score own", "1 of 20 scores is missing (failed 1), and max_missing is"],
        ),
        (
            [{"measure": "failed", "maximum": 0.05}, {"measure": "latency_p95", "maximum": 0.25}],
            0,
            ["threshold met: measure latency_p95, maximum 0.25: 0.25"],
        ),
        (
            [{"measure": "failed", "maximum": 0.05}, {"measure": "latency_p95", "maximum": 0.2}],
            1,
            ["threshold NOT MET: measure latency_p95, maximum 0.2", "    all: 0.25"],
        ),
    ],
)
def test_a_run_tolerates_the_failed_trials_that_its_spec_accepts(
    tmp_path: Path, thresholds: list[dict[str, Any]], exit_code: int, said: list[str]
) -> None:
    path = spec(tmp_path, thresholds)
    done, shown = runs(path)
    assert done.exit_code == exit_code, done.output
    assert [text for text in said if text not in done.stdout or text not in shown.stdout] == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, True),
        (Facts([ROW], 0, COUNTS[:1]), False),  # none failed
        (replace(FACTS, unfinished=1), False),
        (replace(FACTS, rows=[replace(ROW, unscored=1, reasons={"judge_unavailable": 1})]), False),
    ],
)
def test_nothing_but_failed_trials_is_tolerated(facts: Facts, expected: bool) -> None:
    accepted = judge_all([themis.ThresholdSpec.model_validate({"measure": "failed", "maximum": 0.05})], facts)
    assert tolerated(accepted, facts) is expected


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        ({"measure": "cost", "maximum": 1}, "thresholds[0].measure: cost can't be measured: no model has a price"),
        (
            {"measure": "unparsed", "score": "own", "maximum": 0.1},
            "thresholds[0].measure: score 'own' of slice 's' reads the raw answer, so nothing of it is ever unparsed",
        ),
        ({"measure": "failed", "model_id": "M", "maximum": 0.1}, "thresholds[0].model_id: no model 'M'. Known: m."),
        ({"measure": "failed", "maximum": 2}, "thresholds[0]: maximum of failed is a share, from 0 to 1"),
    ],
)
def test_a_threshold_that_could_never_be_judged_is_a_mistake_of_the_spec(
    tmp_path: Path, threshold: dict[str, Any], told: str
) -> None:
    done = CliRunner().invoke(cli, ["run", str(spec(tmp_path, [threshold]))], prog_name="themis")
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


def test_a_run_that_only_reuses_answers_costs_nothing_and_has_their_latencies(tmp_path: Path) -> None:
    price = {"input_per_million": 1.0, "output_per_million": 1.0}
    failed = {"measure": "failed", "maximum": 0.5}
    first = themis.run(spec(tmp_path, [failed], price=price))
    gates = [failed, {"measure": "cost", "maximum": 0}, {"measure": "latency_p50", "maximum": 0.25}]
    again = themis.run(spec(tmp_path, gates, price=price), limit=19)
    assert (first.run_id != again.run_id, first.tolerated, again.tolerated) == (True, True, True)
    latency = again.thresholds[2]
    assert (latency["met"], latency["worst"]) == (True, {"value": 0.25})


def test_a_model_of_which_all_trials_failed_has_no_number_however_many_may_fail(tmp_path: Path) -> None:
    path = spec(tmp_path, [{"measure": "failed", "maximum": 1.0}])
    (tmp_path / "mine.py").write_text(ENGINE.replace('in ("i0",)', '!= ""'), encoding="utf-8")
    result = themis.run(path)
    assert (result.tolerated, result.scores[0].value, result.exit_code) == (True, None, 5)


def test_a_conclusion_that_failed_is_a_gate_that_is_not_judged() -> None:
    finding = {"conclusion": "x/y", "text": "nothing could be concluded", "met": False, "details": {}}
    (missed,) = themis.gates_of({"thresholds": [], "conclusions": [finding]})
    (failed,) = themis.gates_of({"thresholds": [], "conclusions": [{**finding, "warning": "x/y: it raised"}]})
    assert (missed.state, failed.state, failed.lines) == ("missed", "not judged", ("x/y: it raised",))
