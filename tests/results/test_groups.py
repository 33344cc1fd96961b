"""Groups of trials by anything that they have in common, each number with its ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_runs import Trial, opened, scorer

from themis_core import GroupRow, SpecError, StorageBackend
from themis_intervals import ClusteredMean

TRIALS: list[Trial] = [
    {"item": item, "model": model, "params": params, "value": value, "metadata": {"topic": topic, "hard": hard}}
    for item, topic, hard, values in (
        ("1", "sums", False, (1.0, 1.0, 0.0, 1.0)),
        ("2", "sums", True, (0.0, 1.0, 0.0, 0.0)),
        ("3", "words", True, (1.0, 1.0, 1.0, "failed")),
        ("4", "words", True, (1.0, None, 0.0, 1.0)),
    )
    for (model, params), value in zip(
        [
            ("a", 'temperature=0.0, stop=["x, y"]'),
            ("a", 'temperature=1.0, stop=["x, y"]'),
            ("b", 'temperature=0.0, stop=["x, y"]'),
            ("b", 'temperature=1.0, stop=["x, y"]'),
        ],
        values,
        strict=True,
    )
]


def told(rows: list[GroupRow]) -> list[tuple[Any, ...]]:
    return [(*row.group.values(), row.value, row.n, row.items, row.failed, row.unscored, row.planned) for row in rows]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ([], [(9 / 14, 14, 4, 1, 1, 16)]),
        (["model"], [("a", 6 / 7, 7, 4, 0, 1, 8), ("b", 3 / 7, 7, 4, 1, 0, 8)]),
        (["params.temperature"], [("0.0", 0.5, 8, 4, 0, 0, 8), ("1.0", 5 / 6, 6, 4, 1, 1, 8)]),
        (["params.stop"], [('["x, y"]', 9 / 14, 14, 4, 1, 1, 16)]),
        (["params.seed"], [(None, 9 / 14, 14, 4, 1, 1, 16)]),
        (["metadata.topic"], [("sums", 0.5, 8, 2, 0, 0, 8), ("words", 5 / 6, 6, 2, 1, 1, 8)]),
        (
            ["metadata.hard", "model"],
            [
                ("false", "a", 1.0, 2, 1, 0, 0, 2),
                ("false", "b", 0.5, 2, 1, 0, 0, 2),
                ("true", "a", 0.8, 5, 3, 0, 1, 6),
                ("true", "b", 0.4, 5, 3, 1, 0, 6),
            ],
        ),
        (["sample"], [("0", 9 / 14, 14, 4, 1, 1, 16)]),
        (["family"], [("plainly", 9 / 14, 14, 4, 1, 1, 16)]),
        (["prompt", "slice"], [("plain", "s", 9 / 14, 14, 4, 1, 1, 16)]),
        (["dimensions.subject"], [("arithmetic", 9 / 14, 14, 4, 1, 1, 16)]),
    ],
)
def test_scores_are_grouped_by_what_trials_have_in_common(
    storage: StorageBackend, tmp_path: Path, by: list[str], expected: list[tuple[Any, ...]]
) -> None:
    variants = [{"id": "plain", "family": "plainly", "messages": [{"role": "user", "content": "?"}]}]
    with opened(
        storage,
        tmp_path,
        TRIALS,
        metadata=["topic", "hard"],
        dimensions={"s": {"subject": "arithmetic"}},
        prompt_variants=variants,
    ) as results:
        found = told(results.groups("run", by))
    assert found == [(*row[:-6], pytest.approx(row[-6]), *row[-5:]) for row in expected]


def test_the_interval_of_a_group_takes_all_answers_to_an_item_as_one_cluster(
    storage: StorageBackend, tmp_path: Path
) -> None:
    values = {"1": (1.0, 1.0), "2": (0.0, 1.0), "3": (1.0, 1.0), "4": (0.0, 0.0)}
    trials = [
        {"item": item, "prompt": prompt, "slice": slice_id, "value": value}
        for item, both in values.items()
        for (prompt, slice_id), value in zip((("a", "s"), ("b", "t")), both, strict=True)
    ]
    mean = ClusteredMean()
    for both in values.values():
        for place, value in enumerate(both):
            mean.add(value, new_cluster=place == 0)
    with opened(storage, tmp_path, trials) as results:
        (row,) = results.groups("run")
    assert (row.low, row.high, row.interval) == pytest.approx(mean.interval()[:3])
    assert row.standard_error == pytest.approx(mean.standard_error)


def test_a_name_that_nothing_can_be_grouped_by_is_refused_with_those_that_there_are(
    storage: StorageBackend, tmp_path: Path
) -> None:
    with (
        opened(storage, tmp_path, TRIALS, metadata=["topic", "hard"]) as results,
        pytest.raises(
            SpecError, match=r"grouped by 'metadata.topics'\. Known: .*metadata\.topic, metadata\.hard\.* Did"
        ),
    ):
        results.groups("run", ["metadata.topics"])


def test_slices_with_different_metrics_or_policies_have_no_number_together(
    storage: StorageBackend, tmp_path: Path
) -> None:
    trials: list[Trial] = [{"slice": slice_id, "item": item, "value": 1.0} for slice_id in "st" for item in "12"]
    for number, other in enumerate(({"component": "text/y"}, {"highest": 5.0}, {"denominator": "parsed"})):
        place = tmp_path / str(number)
        place.mkdir()
        backend = storage.model_copy(update={"name": str(number)} if hasattr(storage, "name") else {"root_dir": place})
        with opened(backend, place, trials, scorers=[scorer("s"), scorer("t", **other)]) as results:
            (row,) = results.groups("run")
            assert (row.value, row.no_interval, row.planned) == (None, "not_alike", 4)
            assert [each.value for each in results.groups("run", ["slice"])] == [1.0, 1.0]


SAMPLES: list[Trial] = [
    {"item": item, "sample": sample, "value": value, "found": found}
    for item, answers in (
        ("1", ((1.0, "4"), (0.0, "5"), (0.0, "6"))),
        ("2", ((1.0, "4"), (1.0, "4"), (0.0, "5"))),
        ("3", ((0.0, "7"), (0.0, "7"), (1.0, "4"))),
    )
    for sample, (value, found) in enumerate(answers)
]


@pytest.mark.parametrize(
    ("repeats", "value"),
    [
        (None, (1 + 2 + 1) / 9),
        ("pass@1", (1 + 2 + 1) / 9),
        ("pass@2", (2 / 3 + 1 + 2 / 3) / 3),
        ("pass^2", (0 + 1 / 3 + 0) / 3),
        ("best@3", 1.0),
        ("worst@3", 0.0),
        ("majority@3", (1 / 3 + 1 + 0) / 3),
    ],
)
def test_samples_of_an_item_are_one_value_before_items_are_averaged(
    storage: StorageBackend, tmp_path: Path, repeats: str | None, value: float
) -> None:
    with opened(storage, tmp_path, SAMPLES, samples={"s": 3}) as results:
        (row,) = results.groups("run", repeats=repeats)
    assert row.value == pytest.approx(value)
    assert (row.n, row.items, row.planned, row.repeats) == ((9, 3, 9, None) if repeats is None else (3, 3, 3, repeats))


def test_a_setting_that_no_trial_has_is_told(
    storage: StorageBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(storage, tmp_path, [{"value": 1.0, "params": "temperature=0.5"}]) as results:
        results.groups("run", ["params.temperature"])
        assert caplog.text == ""
        results.groups("run", ["params.temprature"])
    assert (
        "no trial of the run has params.temprature, so it groups nothing. There are: params.temperature. "
        "Did you mean 'params.temperature'?"
    ) in caplog.text


def test_an_item_with_fewer_than_k_samples_is_missing_and_told(storage: StorageBackend, tmp_path: Path) -> None:
    with opened(storage, tmp_path, SAMPLES[:-1], samples={"s": 3}, datasets=[{"slice_id": "s", "items": 3}]) as results:
        (row,) = results.groups("run", repeats="pass@3")
        assert (row.value, row.n, row.planned, row.reasons) == (1.0, 2, 3, {"too_few_samples": 1})
        assert row.told() == "1.000 (2 of 2 scored; of 3 planned: 0.67 to 1.00)"
        (none,) = results.groups("run", repeats="best@4")
        assert (none.value, none.no_interval) == (None, "too_few_samples")
        with pytest.raises(SpecError, match=r"repeats 'pass': write pass@3"):
            results.groups("run", repeats="pass")


def test_a_metric_that_makes_its_number_itself_makes_one_for_each_group(
    storage: StorageBackend, tmp_path: Path
) -> None:
    trials = [{**each, "metadata": {"odd": each["item"] != "2"}} for each in SAMPLES]
    itself = scorer("s", component="code/unit_tests", config={"k": 2}, aggregates_mean=False)
    with opened(storage, tmp_path, trials, scorers=[itself], metadata=["odd"], samples={"s": 3}) as results:
        rows = results.groups("run", ["metadata.odd"], totals=True)
        estimated = results.groups("run", ["metadata.odd"], totals=True, repeats="pass@2")
    expected = [({"metadata.odd": "false"}, 1.0), ({"metadata.odd": "true"}, 2 / 3), ({}, 7 / 9)]
    for found in (rows, estimated):
        assert [(row.group, row.value) for row in found] == [(group, pytest.approx(value)) for group, value in expected]
    assert [row.worst for row in rows] == [None] * 3  # what is missing would have no parts


def test_a_majority_of_raw_answers_and_passes_without_a_best_value_are_no_numbers(
    storage: StorageBackend, tmp_path: Path
) -> None:
    raw: list[Trial] = [{"sample": sample, "value": 1.0, "parse": None} for sample in (0, 1)]
    with opened(storage, tmp_path, raw, samples={"s": 2}, scorers=[scorer("s", highest=None)]) as results:
        for repeats, why in (("majority@2", "no_parse"), ("pass@2", "no_best_value"), ("pass^2", "no_best_value")):
            (row,) = results.groups("run", repeats=repeats)
            assert (row.value, row.no_interval) == (None, why)
        (best,) = results.groups("run", repeats="best@2")
        assert best.value == 1.0


MISSING: list[Trial] = [
    *({"item": str(number), "value": 1.0} for number in range(80)),
    *({"item": str(number), "value": 0.0, "parsed": number > 84} for number in range(80, 90)),
    *({"item": str(number), "value": "failed"} for number in range(90, 96)),
    *({"item": str(number), "value": None} for number in range(96, 99)),
]


@pytest.mark.parametrize(
    ("denominator", "value", "n", "told"),
    [
        ("scored", 80 / 90, 90, "0.889 (80 of 90 scored; of 100 planned: 0.80 to 0.90)"),
        ("parsed", 80 / 85, 85, "0.941 (80 of 85 parsed; of 100 planned: 0.80 to 0.95)"),
        ("planned_missing_worst", 0.8, 100, "0.800 (80 of 100 planned, missing ones as the worst)"),
    ],
)
def test_a_number_says_what_it_is_made_of_and_what_the_missing_ones_leave(
    storage: StorageBackend, tmp_path: Path, denominator: str, value: float, n: int, told: str
) -> None:
    """100 are planned: 90 are scored, 5 of them unparsed, 6 failed, 3 are unscored, and one is not done yet."""
    with opened(
        storage,
        tmp_path,
        MISSING,
        scorers=[scorer("s", denominator=denominator)],
        planned=100,
        samples={"s": 1},
        datasets=[{"slice_id": "s", "items": 100}],
    ) as results:
        (group,) = results.groups("run")
        (row,) = results.result("run").scores
    for found in (group, row):
        assert found.value == pytest.approx(value)
        assert (found.n, found.planned, found.denominator, found.told()) == (n, 100, denominator, told)
        assert (found.failed, found.unscored, found.unparsed) == (6, 3, 5)
        assert (found.worst, found.best) == pytest.approx((0.8, 0.95 if denominator == "parsed" else 0.9))


@pytest.mark.parametrize(
    ("by", "repeats", "planned"),
    [(["metadata.topic"], None, 20), (["metadata.topic"], "pass@1", 16), (["sample"], None, 20)],
    ids=["unfinished", "repeats", "samples"],
)
def test_where_it_is_not_known_what_is_missing_there_is_no_number_of_what_was_planned(
    storage: StorageBackend, tmp_path: Path, by: list[str], repeats: str | None, planned: int
) -> None:
    scorers = [scorer("s", denominator="planned_missing_worst")]
    with opened(storage, tmp_path, TRIALS, scorers=scorers, planned=planned, metadata=["topic"]) as results:
        rows = results.groups("run", by, repeats=repeats)
    assert {(row.value, row.no_interval) for row in rows if row.group[by[0]] is not None} == {(None, "planned_unknown")}


FAMILIES = {
    # task family: task: values of its items
    "logic": {"three": [1.0, 1.0, 0.0, 0.0], "five": [1.0, 0.0, 0.0, 0.0], "seven": [0.0, 0.0]},
    "shuffling": {"two": [1.0], "four": [1.0, 0.0]},
    None: {"dates": [1.0, 1.0, 1.0, 0.0, 0.0]},
}
"""Means of tasks: 0.5, 0.25, 0; 1, 0.5; 0.6. Of families: 0.25; 0.75; 0.6."""


@pytest.mark.parametrize(
    ("weighting", "levels", "value", "told"),
    [
        ("micro", ["slice"], 8 / 18, "micro mean"),
        ("macro", ["slice"], (0.5 + 0.25 + 0 + 1 + 0.5 + 0.6) / 6, "macro mean of 6 groups by slice"),
        (
            "nested_macro", ["slice", "dimensions.family"], (0.25 + 0.75 + 0.6) / 3,
            "nested macro mean of 6 groups by slice, in 3 by dimensions.family",
        ),
        (
            "macro", ["slice", "dimensions.family"], (0.5 + 0.25 + 0 + 1 + 0.5 + 0.6) / 6,
            "macro mean of 6 groups by slice and dimensions.family",
        ),
        (
            "macro", ["dimensions.family"], (3 / 10 + 2 / 3 + 3 / 5) / 3,
            "macro mean of 3 groups by dimensions.family",
        ),
    ],
)  # fmt: skip
def test_a_nested_mean_weighs_as_it_says(
    storage: StorageBackend, tmp_path: Path, weighting: str, levels: list[str], value: float, told: str
) -> None:
    trials: list[Trial] = [
        {"slice": task, "item": f"{task} {number}", "value": each}
        for tasks in FAMILIES.values()
        for task, values in tasks.items()
        for number, each in enumerate(values)
    ]
    aggregate = {
        "name": "all", "score": "accuracy", "metric": None, "by": ["model"], "levels": levels,
        "weighting": weighting, "repeats": None,
    }  # fmt: skip
    dimensions = {
        task: {"family": family} for family, tasks in FAMILIES.items() if family is not None for task in tasks
    }
    with opened(storage, tmp_path, trials, dimensions=dimensions, aggregates=[aggregate]) as results:
        (row,) = results.result("run").aggregates
    assert row.value == pytest.approx(value)
    assert (row.aggregate, row.weighting, row.weighed(), row.group) == ("all", weighting, told, {"model": "m"})
    assert list(row.levels) == ([] if weighting == "micro" else levels)
    assert (row.n, row.planned, row.items) == (18, 18, 18)
    assert (row.worst, row.best) == (pytest.approx(value), pytest.approx(value))
