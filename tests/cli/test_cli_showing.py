"""`show run --trials` and `show trial` over a run of several models, one of which never answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from themis_core.cli import cli

FRAGILE = """
from themis_core import Metric, Score, hookimpl

class Fragile(Metric):
    def score(self, item, generation, extraction):
        return Score(1 / (item.id != "b"))

@hookimpl
def themis_register_metrics(register):
    register("fragile", Fragile)
"""
ANSWERS = {"m1": {"a": "Rome", "b": "Lima"}, "m2": {}, "m3": {"a": "Paris", "only": "Oslo"}}


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="themis")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec that was run: two items for three models, and in a slice of its own a third one for m3."""
    golds = {"a": "Paris", "b": "Lima", "only": "Oslo"}
    rows = [json.dumps({"id": name, "gold": gold}) for name, gold in golds.items()]
    (tmp_path / "items.jsonl").write_text("\n".join(rows))
    for model, answers in ANSWERS.items():
        lines = [json.dumps({"id": name, "output": text}) for name, text in answers.items()]
        (tmp_path / f"{model}.jsonl").write_text("\n".join(lines or ['{"id": "none", "output": ""}']))
    (tmp_path / "fragile.py").write_text(FRAGILE)
    slices = [
        {
            "slice_id": name,
            "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}},
            "dataset_query": {"item_ids": items},
            "generation": {"models": models},
            "scores": [
                {"name": "accuracy", "metrics": ["text/exact_match"]},
                {"name": "own", "metrics": ["mine/fragile"]},
            ],
        }
        for name, items, models in (("all", ["a", "b"], ["m1", "m2", "m3"]), ("rest", ["b", "only"], ["m3"]))
    ]
    models = [{"model_id": m, "provider": "replay/file", "extras": {"path": f"{m}.jsonl"}} for m in ANSWERS]
    variants = [{"id": "plain", "messages": [{"role": "user", "content": "Capital?"}]}]
    benchmark = {"benchmark_id": "capitals", "models": models, "prompt_variants": variants, "slices": slices}
    file = tmp_path / "capitals.yaml"
    file.write_text(yaml.safe_dump({"project": {"plugins": {"mine": "./fragile.py"}}, "benchmark": benchmark}))
    assert themis("run", file, "--quiet").exit_code == 5
    return file


def trials_of(spec: Path) -> list[dict[str, Any]]:
    done = themis("show", "run", "capitals", "--trials", "--spec", spec, "--format", "json")
    listed: list[dict[str, Any]] = json.loads(done.stdout)["trials"]
    return listed


def test_each_trial_has_its_own_scores_or_why_there_is_none(spec: Path) -> None:
    text = themis("show", "run", "capitals", "--trials", "--spec", spec).stdout.partition("\nTrials\n")[2]
    assert [line.split(maxsplit=1)[1] for line in text.splitlines()] == [
        "outcome           slice  model  prompt  params   item  sample  accuracy/text/exact_match  own/mine/fragile",
        "answered          all    m1     plain   default  a     0       0                          1",
        "answered          all    m1     plain   default  b     0       1                          (metric_error)",
        "failed (missing)  all    m2     plain   default  a     0       –                          –",
        "failed (missing)  all    m2     plain   default  b     0       –                          –",
        "answered          all    m3     plain   default  a     0       1                          1",
        "failed (missing)  all    m3     plain   default  b     0       –                          –",
        "failed (missing)  rest   m3     plain   default  b     0       –                          –",
        "answered          rest   m3     plain   default  only  0       1                          1",
    ]
    assert [(each["item_id"], each["scores"]) for each in trials_of(spec)][1:3] == [
        (
            "b",
            {
                "accuracy/text/exact_match": {"value": 1.0, "reason": None},
                "own/mine/fragile": {"value": None, "reason": "metric_error"},
            },
        ),
        ("a", {}),
    ]


def test_a_trial_is_found_by_its_item_or_by_the_beginning_of_its_id(spec: Path) -> None:
    *_, trial = trials_of(spec)
    for name in ("only", trial["trial_id"][:8], trial["trial_id"]):
        done = themis("show", "trial", "capitals", name, "--spec", spec, "--format", "json")
        assert json.loads(done.stdout)["trial"]["trial_id"] == trial["trial_id"]


def test_the_trials_of_an_item_are_listed_if_there_are_several(spec: Path) -> None:
    done = themis("show", "trial", "capitals", "a", "--spec", spec)
    run_id = json.loads(themis("runs", "--spec", spec, "--format", "json").stdout)["runs"][0]["run_id"]
    first, second, third = (each["trial_id"][:12] for each in trials_of(spec) if each["item_id"] == "a")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"Error: several trials of {run_id} are of the item 'a': give the beginning of a trial's id",
        "  trial         outcome           slice  model  prompt  params   item  sample",
        f"  {first}  answered          all    m1     plain   default  a     0",
        f"  {second}  failed (missing)  all    m2     plain   default  a     0",
        f"  {third}  answered          all    m3     plain   default  a     0",
    ]


def test_a_trial_that_is_in_two_slices_is_shown_of_the_slice_that_is_named(spec: Path) -> None:
    *_, both, _ = trials_of(spec)
    done = themis("show", "trial", "capitals", both["trial_id"], "--spec", spec)
    assert done.exit_code == 2
    assert f"begin with '{both['trial_id']}': give the beginning of a trial's id, and --slice\n" in done.stderr
    for name in (both["trial_id"], "b"):
        shown = themis("show", "trial", "capitals", name, "--slice", "rest", "--spec", spec, "--format", "json")
        trial = json.loads(shown.stdout)["trial"]
        assert (trial["slice_id"], trial["trial_id"]) == ("rest", both["trial_id"])


def test_what_is_neither_an_item_nor_a_trial_gets_the_command_that_lists_them(spec: Path) -> None:
    done = themis("show", "trial", "capitals", "q0", "--spec", spec)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "has the item 'q0', or an id that begins so: `themis show run capitals-" in done.stderr


def test_a_trial_tells_what_its_metric_raised(spec: Path) -> None:
    trial = trials_of(spec)[1]["trial_id"]
    text = themis("show", "trial", "capitals", trial, "--spec", spec).stdout
    assert text.splitlines()[-1] == "  own/mine/fragile: metric_error: ZeroDivisionError: division by zero"
