"""Thresholds on aggregates: on all of their numbers, or on those of some groups; judged on what was planned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import themis_core as themis
from themis_core import SpecError
from themis_core.cli import cli
from themis_core.results.thresholds import Facts, judge_all

MEANS = [
    {"name": "all", "score": "right", "levels": ["metadata.kind"], "by": ["prompt"]},
    {"name": "kinds", "score": "right", "by": ["metadata.kind"], "weighting": "micro"},
]


def spec(folder: Path, *thresholds: dict[str, Any], aggregates: list[dict[str, Any]] = MEANS) -> Path:
    """Two kinds of items with recorded answers: of the sums 3 of 4 are right, of the products 1 of 2."""
    rows = [
        {"id": f"{kind}{index}", "kind": kind, "gold": "yes", "said": said}
        for kind, answers in {"sum": ["yes", "yes", "yes", "no"], "product": ["yes", "no"]}.items()
        for index, said in enumerate(answers)
    ]
    fields = {"id": "id", "reference": "gold", "output": "said", "metadata": ["kind"]}
    dataset = {"source": "files/inline", "fields": fields, "extras": {"rows": rows}}
    slices = [{"slice_id": "s", "dataset": dataset, "scores": [{"name": "right", "metrics": ["text/exact_match"]}]}]
    benchmark = {"benchmark_id": "b", "slices": slices, "aggregates": aggregates, "thresholds": list(thresholds)}
    path = folder / "spec.json"
    path.write_text(json.dumps({"project": {"storage": {"backend": "sqlite"}}, "benchmark": benchmark}))
    return path


@pytest.mark.parametrize(
    ("threshold", "met", "worst", "missed"),
    [
        ({"aggregate": "all", "minimum": 0.6}, True, 0.625, []),
        ({"aggregate": "all", "minimum": 0.7}, False, 0.625, [{"prompt": "recorded"}]),
        ({"aggregate": "kinds", "minimum": 0.6}, False, 0.5, [{"metadata.kind": "product"}]),
        ({"aggregate": "kinds", "group": {"metadata.kind": "sum"}, "minimum": 0.6}, True, 0.75, []),
        ({"aggregate": "all", "measure": "low", "minimum": 0.6}, False, None, [{"prompt": "recorded"}]),
    ],
)
def test_a_threshold_is_judged_in_each_number_of_the_aggregate(
    tmp_path: Path, threshold: dict[str, Any], met: bool, worst: float | None, missed: list[dict[str, str]]
) -> None:
    result = themis.run(spec(tmp_path, threshold))
    (found,) = result.thresholds
    assert (found["met"], found["judged"], result.exit_code) == (met, True, 0 if met else 1)
    assert worst is None or found["worst"]["value"] == pytest.approx(worst)
    assert [each["group"] for each in found["missed"]] == missed


def test_the_command_says_which_group_missed_which_bound(tmp_path: Path) -> None:
    path = spec(tmp_path, {"aggregate": "kinds", "group": {"metadata.kind": "product"}, "minimum": 0.6})
    done = CliRunner().invoke(cli, ["run", str(path), "--quiet"], prog_name="themis")
    assert done.exit_code == 1
    assert (
        "threshold NOT MET: aggregate kinds, group metadata.kind=product, minimum 0.6\n    kinds · product: 0.5\n"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        ({"aggregate": "al", "minimum": 0.5}, r"thresholds\[0\].aggregate: .*'al'.*Did you mean 'all'"),
        (
            {"aggregate": "all", "group": {"metadata.kind": "sum"}, "minimum": 0.5},
            r"thresholds\[0\].group.*: the aggregate 'all' has no numbers by 'metadata.kind', but by prompt",
        ),
        ({"aggregate": "all", "model_id": "recorded", "minimum": 0.5}, r"thresholds\[0\].model_id"),
        ({"aggregate": "all", "score": "right", "minimum": 0.5}, "leave out `score` and `metric`"),
        ({"score": "right", "group": {"metadata.kind": "sum"}, "minimum": 0.5}, "`group` is of an aggregate"),
        ({"minimum": 0.5}, "name it in `score`, or an `aggregate`"),
        ({"aggregate": "all", "measure": "failed", "maximum": 0.5}, "leave out aggregate"),
    ],
)
def test_a_mistake_in_it_is_told_with_its_place(tmp_path: Path, threshold: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        themis.plan(spec(tmp_path, threshold))


def test_a_threshold_that_picks_from_an_aggregate_of_all_is_told_that_there_is_one_number(tmp_path: Path) -> None:
    told = "the aggregate 'all' has no numbers by 'model', but one of all trials"
    with pytest.raises(ValidationError, match=told):
        themis.BenchmarkSpec.model_validate(
            {
                "benchmark_id": "b",
                "models": [{"model_id": "m", "provider": "replay/file"}],
                "slices": [
                    {
                        "slice_id": "s",
                        "dataset": {"source": "files/jsonl", "dataset_id": "q.jsonl"},
                        "generation": {},
                        "scores": [{"name": "right", "metrics": ["text/exact_match"]}],
                    }
                ],
                "aggregates": [{"name": "all", "score": "right", "by": []}],
                "thresholds": [{"aggregate": "all", "model_id": "m", "minimum": 0.5}],
            }
        )


GROUP = themis.GroupRow(
    {"model": "m"}, "right", "x", 0.9, 20, 20, None, None, None, None, "one_item", 0, 0, 0, {}, 20, aggregate="all"
)


@pytest.mark.parametrize(
    ("row", "allowed", "failed", "judged", "why"),
    [
        (GROUP, {}, 0, True, None),
        (replace(GROUP, n=18, failed=2), {}, 2, False, "2 of 20 scores are missing (failed 2), and max_missing is 0"),
        (replace(GROUP, n=18, failed=2), {"max_missing": 0.1}, 2, True, None),
        (replace(GROUP, n=18, unscored=2, reasons={"no_verdict": 2}), {}, 0, False, "2 of 20 scores are missing (no_v"),
        (replace(GROUP, n=18, failed=2, denominator="planned_missing_worst"), {}, 2, True, None),
        (replace(GROUP, value=None, no_interval="not_alike"), {}, 0, False, "it has no value (not_alike)"),
        (replace(GROUP, unparsed=20), {}, 0, False, "the parse found nothing in any of 20 answers"),
        (replace(GROUP, group={"model": "other"}), {}, 0, False, "no row of the results is of that kind"),
    ],
)
def test_it_is_judged_on_what_was_planned(
    row: themis.GroupRow, allowed: dict[str, Any], failed: int, judged: bool, why: str | None
) -> None:
    bound = {"aggregate": "all", "group": {"model": "m"}, "minimum": 0.5, **allowed}
    counts = [themis.OutcomeCount("s", "m", "p", "default", "failed", "timeout", failed)] if failed else []
    (found,) = judge_all([themis.ThresholdSpec.model_validate(bound)], Facts(outcomes=counts, aggregates=[row]))
    assert (found["judged"], found["met"]) == (judged, judged)
    assert found["why"] is None if why is None else found["why"].startswith(why)


def test_failed_trials_that_are_accepted_are_no_reason_not_to_judge() -> None:
    counts = [themis.OutcomeCount("s", "m", "p", "default", name, code, n)
              for name, code, n in (("failed", "timeout", 2), ("answered", None, 18))]  # fmt: skip
    bounds = [{"measure": "failed", "maximum": 0.2}, {"aggregate": "all", "minimum": 0.5}]
    thresholds = [themis.ThresholdSpec.model_validate(each) for each in bounds]
    found = judge_all(thresholds, Facts(outcomes=counts, aggregates=[replace(GROUP, n=18, failed=2)]))
    assert [each["met"] for each in found] == [True, True]
