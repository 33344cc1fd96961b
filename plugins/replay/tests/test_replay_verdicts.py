"""Recorded verdicts as a judge: what a file may say, what a run makes of it, and that no model is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import themis_core as themis
from themis_core import Generation, Item, JudgedAnswer, Score, SpecError
from themis_plugin_replay.verdicts import VerdictFields, Verdicts

# Preferences as pairwise benchmarks publish them: 1 the baseline is better, 2 the answer is better, 1.5 a draw, 0 a
# draw in older files, null no verdict; and between them, where they come from probabilities.
PREFERENCES: dict[str, float | None] = {
    "a": 1, "b": 2, "c": 1.5, "d": 0, "e": None, "f": 1.25, "g": 2.0, "h": 1.0,
}  # fmt: skip
# Worth 0, 1, 0.5, 0.5, none, 0.25, 1, 0. Mean 3.25 / 7. The squares sum to 2.5625, so the squared differences from the
# mean to 2.5625 - 3.25² / 7 = 1.0535714286; / 6 = 0.1755952381, the variance (ddof = 1); / 7 = 0.0250850340, and the
# root of that is the error.
WIN_RATE, ERROR = 0.4642857142857143, 0.1583825559


def written(folder: Path, kind: str) -> Path:
    rows = [{"key": key, "preference": value} for key, value in PREFERENCES.items()]
    cells = {key: "" if value is None else value for key, value in PREFERENCES.items()}
    texts = {
        "json": json.dumps(rows),
        "jsonl": "\n".join(json.dumps(row) for row in rows),
        "csv": "key,preference\n" + "\n".join(f"{key},{value}" for key, value in cells.items()),
    }
    texts["NaN.jsonl"] = texts["jsonl"].replace("null", "NaN")
    path = folder / f"preferences.{kind}"
    path.write_text(texts[kind], encoding="utf-8")
    return path


def spec(folder: Path, verdicts: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "project": {"storage": {"backend": "sqlite", "root_dir": str(folder / "store")}},
        "benchmark": {
            "benchmark_id": "published",
            "slices": [
                {
                    "slice_id": "pairs",
                    "dataset": {
                        "source": "files/inline", "fields": {"output": "output", "model": "model"},
                        "extras": {"rows": rows},
                    },
                    "scores": [{"name": "win_rate", "metrics": [{"id": "replay/verdicts", "config": verdicts}]}],
                }
            ],
        },
    }  # fmt: skip


def run(folder: Path, verdicts: dict[str, Any], rows: list[dict[str, Any]]) -> themis.RunResult:
    path = folder / "spec.json"
    path.write_text(json.dumps(spec(folder, verdicts, rows)), encoding="utf-8")
    return themis.run(path)


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "NaN.jsonl"])
def test_the_win_rate_and_its_error_are_those_of_the_hand_computed_table(tmp_path: Path, kind: str) -> None:
    written(tmp_path, kind)
    config = {
        "path": f"preferences.{kind}", "fields": {"id": "key", "verdict": "preference"},
        "low": 1, "high": 2, "draws": [0],
    }  # fmt: skip
    # A refused or empty answer was compared like any other, so its recorded verdict holds.
    answers = {"a": "  ", "b": "", **dict.fromkeys("cdefgh", "said"), "i": "said"}
    rows = [{"id": key, "output": output, "model": "m"} for key, output in answers.items()]
    result = run(tmp_path, config, rows)
    (row,) = result.scores
    assert (row.value, row.standard_error) == (pytest.approx(WIN_RATE, abs=1e-6), pytest.approx(ERROR, abs=1e-6))
    assert (row.n, row.unscored, row.failed, result.generated) == (7, 2, 0, 0)
    assert result.ledger["scores"] == {
        "win_rate/replay/verdicts": {"scored": 7, "unscored": {"missing": 1, "no_verdict": 1}}
    }
    again = run(tmp_path, {**config, "path": str(tmp_path / f"preferences.{kind}")}, rows)
    assert [(each.value, each.n) for each in again.scores] == [(row.value, row.n)]


def test_each_model_and_sample_has_its_own_verdict(tmp_path: Path) -> None:
    rows = [("a", "x", 0, 1), ("a", "x", 1, 0), ("a", "y", 0, 0.25), ("b", "x", 0, None)]
    names = ("id", "model", "sample", "verdict")
    path = tmp_path / "verdicts.jsonl"
    path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows), encoding="utf-8")
    judge = Verdicts(path="verdicts.jsonl", fields=VerdictFields(model="model", sample="sample"))
    judge.check(tmp_path)
    found = {
        key: judge.score(JudgedAnswer(Item(key[0], {}), Generation("answered", "?"), "?", key[1], key[2]), [])
        for key in [(*row[:3],) for row in rows] + [("b", "y", 0)]
    }
    assert {key: score.value if score.scored else score.reason for key, score in found.items()} == {
        ("a", "x", 0): 1.0, ("a", "x", 1): 0.0, ("a", "y", 0): 0.25, ("b", "x", 0): "no_verdict",
        ("b", "y", 0): "missing",
    }  # fmt: skip
    assert found["a", "y", 0] == Score(
        0.25, details={"verdicts": [{"judge": "recorded", "repeat": 0, "value": 0.25, "reason": None}]}
    )


def test_the_path_may_say_the_model_and_only_files_of_models_that_are_asked_are_read(tmp_path: Path) -> None:
    for name, verdict in (("x", 1), ("org__y", 0.25), ("other", 7)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"id": "a", "verdict": verdict}), encoding="utf-8")
    judge = Verdicts(path="{model_id}.jsonl").for_models(["x", "org/y"])
    judge.check(tmp_path)  # the file of another model has no verdict in the range
    answers = [
        JudgedAnswer(Item("a", {}), Generation("answered", "?"), "?", model) for model in ("x", "org/y", "other")
    ]
    assert [(each.value, each.reason) for each in (judge.score(answer, []) for answer in answers)] == [
        (1.0, None), (0.25, None), (None, "missing"),
    ]  # fmt: skip
    with pytest.raises(SpecError, match=r"other/x.jsonl: no such file"):
        Verdicts(path="other/{model_id}.jsonl").for_models(["x"]).check(tmp_path)
    with pytest.raises(SpecError, match=r"and none is; name the model in fields\.model"):
        Verdicts(path="{model_id}.jsonl").for_models([]).check(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": 1, "verdict": 3}', r"v.jsonl:1: the column 'verdict' has 3, which is not from low \(0\) to"),
        ('{"id": 1, "verdict": "best"}', "v.jsonl:1: the column 'verdict' has 'best'; a number or null was expected"),
        ('{"id": 1, "verdict": true}', "has True; a number or null was expected"),
        ('{"id": 1, "verdict": 1e400}', "has inf; a number or null was expected"),
        ('{"id": 1, "verdict": "１"}', "a number or null was expected"),
        ('{"id": 1, "rating": 1}', "there is no column 'verdict'; the row has: id, rating"),
        ('{"verdict": 1}', "there is no column 'id'"),
        ('{"id": 1, "verdict": 1}\n{"id": 1, "verdict": 0}', "v.jsonl:2: a second verdict for item '1', sample 0;"),
        ('{"id": 1, "verdict": ', "v.jsonl:1: no valid JSON"),
    ],
)  # fmt: skip
def test_a_bad_row_is_an_error_that_names_file_and_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "v.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=words):
        Verdicts(path="v.jsonl").check(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"low": 1, "high": 1}, "high: 1 is not above low"),
        ({"draws": [0.5]}, "draws: 0.5 is in the range"),
        ({"path": "{model_id}.jsonl", "fields": {"model": "m"}}, "fields.model"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Verdicts(**{"path": "v.jsonl", **config})


def test_a_changed_recording_is_another_judge_and_a_moved_one_is_not(tmp_path: Path) -> None:
    def identity(name: str, text: str) -> dict[str, Any]:
        (tmp_path / name).write_text(text, encoding="utf-8")
        judge = Verdicts(path=name)
        judge.check(tmp_path)
        return judge.identity()

    row = '{"id": 1, "verdict": 1}'
    assert identity("a.jsonl", row) == identity("b.jsonl", row)
    assert identity("a.jsonl", row) != identity("a.jsonl", row.replace(": 1}", ": 0}"))


def test_a_judging_model_is_refused_where_none_is_asked(tmp_path: Path) -> None:
    written(tmp_path, "json")
    config = {"path": "preferences.json", "fields": {"id": "key", "verdict": "preference"}, "high": 2}
    data = spec(tmp_path, config, [{"id": "a", "output": "x", "model": "m"}])
    (metric,) = data["benchmark"]["slices"][0]["scores"][0]["metrics"]
    metric["judge"] = {"model": {"model_id": "j", "provider": "replay/file", "extras": {"path": "preferences.json"}}}
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(SpecError, match=r"metrics\[0\].judge: replay/verdicts asks no model.*remove `judge`"):
        themis.run(path)


@pytest.mark.parametrize(
    ("fields", "item", "model", "sample", "outcome"),
    [
        ({}, "a", "m", 0, 1.0),
        ({}, "b", "m", 0, "absent"),
        ({}, "a", "m", 1, "absent"),
        ({"sample": "draw"}, "a", "m", 0, 1.0),
        ({"sample": "draw"}, "a", "m", 1, "absent"),
        ({"model": "llm"}, "a", "m", 0, 1.0),
        ({"model": "llm"}, "a", "other", 0, "absent"),
        ({}, "n", "m", 0, "no_verdict"),  # recorded as none
    ],
)
def test_a_verdict_that_was_never_recorded_is_absent_if_the_spec_says_so(
    tmp_path: Path, fields: dict[str, str], item: str, model: str, sample: int, outcome: float | str
) -> None:
    rows = [{"id": "a", "verdict": 1}, {"id": "n", "verdict": None}]
    text = "\n".join(json.dumps({**row, "llm": "m", "draw": 0}) for row in rows)
    (tmp_path / "v.jsonl").write_text(text, encoding="utf-8")
    answer = JudgedAnswer(Item(item, {}), Generation("answered", "?"), "?", model, sample)
    for missing in ("absent", "failed"):
        judge = Verdicts.model_validate({"path": "v.jsonl", "fields": fields, "missing": missing})
        judge.check(tmp_path)
        found = judge.score(answer, [])
        expected = "missing" if outcome == "absent" and missing == "failed" else outcome
        assert (found.value if found.scored else found.reason) == expected


def test_absent_verdicts_are_counted_have_no_score_and_end_no_run_with_exit_5(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text("\n".join(json.dumps({"id": each, "verdict": 1}) for each in "ab"), encoding="utf-8")
    rows = [{"id": each, "output": "said", "model": "m"} for each in "abcd"]

    def again(missing: str) -> themis.RunResult:
        data = spec(tmp_path, {"path": "v.jsonl", "missing": missing}, rows)
        data["benchmark"]["thresholds"] = [{"score": "win_rate", "minimum": 0.9}]
        (tmp_path / "spec.json").write_text(json.dumps(data), encoding="utf-8")
        return themis.run(tmp_path / "spec.json")

    for result in (again("absent"), again("absent")):
        (row,) = result.scores
        assert (result.exit_code, result.status, result.warnings, row.value, row.n) == (0, "completed", [], 1.0, 2)
        assert result.ledger["scores"] == {"win_rate/replay/verdicts": {"scored": 2, "unscored": {"absent": 2}}}
    assert themis.plan(tmp_path / "spec.json").unscorable == []
    control = again("failed")
    assert (control.exit_code, control.ledger["scores"]["win_rate/replay/verdicts"]["unscored"]) == (1, {"missing": 2})
    path.write_text('{"id": "z", "verdict": 1}', encoding="utf-8")
    nothing = again("absent")
    assert nothing.exit_code == 5
    assert nothing.warnings == [
        "win_rate/replay/verdicts: all scores are absent, so there is no number: is that what the recording should be?"
    ]


def test_verdicts_can_be_kept_as_they_are(tmp_path: Path) -> None:
    config = {
        "path": str(written(tmp_path, "json")),
        "fields": {"id": "key", "verdict": "preference"},
        "low": 1,
        "high": 2,
        "draws": [0],
        "rescale": False,
    }
    rows = [{"id": key, "output": "said", "model": "m"} for key in PREFERENCES]
    (row,) = run(tmp_path, config, rows).scores
    # 1, 2, 1.5, the draw at 1.5, 1.25, 2 and 1: the mean is that of the win rate, and 1
    assert (row.value, row.n) == (pytest.approx(1 + WIN_RATE), 7)
    judge = Verdicts.model_validate(config)
    assert (judge.lowest, judge.highest) == (1, 2)
