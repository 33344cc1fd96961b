"""Conclusions: made when a run is over, stored, shown, a gate if they say so, and never the loss of a run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import themis_core
from themis_core import SpecError
from themis_core.cli import cli

PLUGIN = """
from pathlib import Path
from themis_core import Conclusion, Finding, hookimpl

class Best(Conclusion):
    least: float | None = None
    fails: bool = False

    @property
    def is_gate(self):
        return self.least is not None

    def conclude(self, results, run_id):
        if self.fails:
            raise SystemExit("no such thing")
        result = results.result(run_id)
        row = max(result.scores, key=lambda each: each.value)
        met = None if self.least is None else row.value >= self.least
        yield Finding(f"{row.model_id} is best\\nof {result.trials}", met, {"value": row.value, "held": ("a",)})

class Odd(Conclusion):
    def conclude(self, results, run_id):
        return ["a text"]

class Slow(Conclusion):
    seconds_per_call = 0.05
    def conclude(self, results, run_id):
        import threading
        threading.Event().wait(30)

@hookimpl
def themis_register_conclusions(register):
    register("best", Best)
    register("odd", Odd)
    register("slow", Slow)
"""
ITEMS = [{"id": str(n), "question": f"{n} and 1?", "gold": str(n + 1)} for n in range(4)]


def written(folder: Path, *conclusions: Any) -> Path:
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in ITEMS))
    rows = [
        {"id": each["id"], "model_id": model, "output": each["gold"] if model == "right" else "0"}
        for each in ITEMS
        for model in ("right", "wrong")
    ]
    for model in ("right", "wrong"):
        (folder / f"{model}.jsonl").write_text(
            "".join(json.dumps(each) + "\n" for each in rows if each["model_id"] == model)
        )
    spec = {
        "project": {"project_name": "p", "storage": {"backend": "sqlite"}, "plugins": {"mine": "./mine.py"}},
        "benchmark": {
            "benchmark_id": "b",
            "models": [
                {"model_id": each, "provider": "replay/file", "extras": {"path": "{model_id}.jsonl"}}
                for each in ("right", "wrong")
            ],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {
                        "source": "files/jsonl",
                        "dataset_id": "items.jsonl",
                        "fields": {"id": "id", "reference": "gold"},
                    },
                    "generation": {},
                    "scores": [{"name": "accuracy", "metrics": ["text/exact_match"]}],
                }
            ],
            "conclusions": list(conclusions),
        },
    }  # fmt: skip
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return path


FOUND = {
    "conclusion": "mine/best", "text": "right is best\nof 8", "met": None, "details": {"value": 1.0, "held": ["a"]},
}  # fmt: skip


def test_a_conclusion_is_made_of_the_stored_run_and_stored_with_it(tmp_path: Path) -> None:
    spec = written(tmp_path, "mine/best")
    result = themis_core.run(spec)
    assert (result.conclusions, result.exit_code, result.warnings) == ([FOUND], 0, [])
    with themis_core.open_results(spec) as results:
        assert results.result(result.run_id).conclusions == [FOUND]
        record = results.run(result.run_id)
    assert themis_core.run(spec).conclusions == [FOUND]
    with themis_core.open_results(spec) as results:
        assert results.run(result.run_id) == record  # there was nothing new to store


@pytest.mark.parametrize(("least", "met", "code"), [(0.9, True, 0), (1.1, False, 1)])
def test_one_that_is_not_met_ends_the_command_with_1(tmp_path: Path, least: float, met: bool, code: int) -> None:
    spec = written(tmp_path, {"id": "mine/best", "config": {"least": least}})
    ran = CliRunner().invoke(cli, ["run", str(spec), "--quiet"])
    said = f"\nmine/best: {'met' if met else 'NOT MET'}: right is best\n  of 8\n"
    assert (ran.exit_code, said in ran.stdout) == (code, True)
    with themis_core.open_results(spec) as results:
        run_id = next(iter(results.runs())).run_id
    assert said in CliRunner().invoke(cli, ["show", "run", run_id, "--spec", str(spec)]).stdout
    again = json.loads(CliRunner().invoke(cli, ["run", str(spec), "--quiet", "--format", "json"]).stdout)
    assert again["conclusions"] == [{**FOUND, "met": met}]


@pytest.mark.parametrize(
    ("conclusion", "met", "why"),
    [
        ({"id": "mine/best", "config": {"fails": True}}, None, "mine/best: nothing could be concluded: SystemExit"),
        ({"id": "mine/best", "config": {"fails": True, "least": 0}}, False, "mine/best: nothing could be concluded"),
        ("mine/odd", None, "mine/odd: nothing could be concluded: TypeError: conclude returned a str in its list"),
        ("mine/slow", None, "mine/slow: nothing could be concluded: Overdue"),
    ],
)
def test_one_that_fails_is_a_warning_and_loses_nothing(
    tmp_path: Path, conclusion: Any, met: bool | None, why: str
) -> None:
    result = themis_core.run(written(tmp_path, conclusion))
    assert (result.status, [row.value for row in result.scores]) == ("completed", [1.0, 0.0])
    assert [each["met"] for each in result.conclusions] == [met]
    assert [line[: len(why)] for line in result.warnings] == [why]
    assert result.exit_code == (1 if met is False else 0)


def test_conclusions_are_part_of_the_run_and_of_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = themis_core.run(written(tmp_path))
    with caplog.at_level(logging.INFO, "themis"):
        second = themis_core.run(written(tmp_path, "mine/best"))
    assert first.run_id != second.run_id
    assert (second.generated, second.reused) == (0, 8)


def test_a_name_that_is_no_conclusion_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"conclusions\[0\].id: .*text' offers no such conclusion"):
        themis_core.run(written(tmp_path, "text/exact_match"))


def test_results_give_outcomes_items_and_answers_of_a_run(tmp_path: Path) -> None:
    spec = written(tmp_path)
    run_id = themis_core.run(spec).run_id
    with themis_core.open_results(spec) as results:
        rows = list(results.trials(run_id))
        assert {(each.model_id, each.outcome): each.count for each in results.outcomes(run_id)} == {
            ("right", "answered"): 4, ("wrong", "answered"): 4,
        }  # fmt: skip
        items = results.items([row.item_digest for row in rows])
        assert sorted(item.id for item in items.values()) == ["0", "1", "2", "3"]
        keys = [row.generation_keys[0] for row in rows if row.model_id == "right"]
        assert [each.generation.text for each in results.generations(keys)] == ["1", "2", "3", "4"]
        assert results.aggregates(run_id) == {}
