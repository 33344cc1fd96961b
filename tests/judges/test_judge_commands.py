"""What the commands show of judges: the plan's calls, a trial's whole trail, the shipped prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

import themis_core as themis
from themis_core.cli import cli

pytestmark = pytest.mark.parametrize("storage", ["sqlite"], indirect=True)

ITEMS = [
    {"id": "a", "q": "Who?", "reference": "Jane", "output": "Jane."},
    {"id": "b", "q": "Where?", "reference": "Here", "output": "There."},
]


def told(*args: str) -> str:
    done = CliRunner().invoke(cli, list(args), prog_name="themis")
    assert done.exit_code == 0, done.output
    return done.stdout


def metric(court: Any) -> dict[str, Any]:
    return {"id": "judge/correctness", "config": {"question": "{{ item.q }}"}, "judge": court.judge()}


def test_a_plan_shows_the_calls_of_each_judge(court: Any) -> None:
    court.script([{"output": "VERDICT-{marker}: CORRECT"}])
    path = court.write(ITEMS, [metric(court)])
    heading, columns, row = told("plan", str(path)).partition("Calls by judge")[2].splitlines()[:3]
    assert heading == " (without re-asks; tokens are an estimate)"
    assert columns.split() == [
        *("slice", "score", "metric", "model", "provider", "scores", "stored", "calls"),
        *("input", "tokens", "max", "output", "tokens", "cost"),
    ]
    assert row.split()[:8] == ["s", "graded", "judge/correctness", "judge-1", "openai/chat", "2", "0", "2"]
    (judge,) = json.loads(told("plan", str(path), "--format", "json"))["judges"]
    assert (judge["scores"], judge["calls"], judge["cost"]) == (2, 2, None)


def test_a_result_has_the_reasons_of_what_is_unscored_beside_it(court: Any) -> None:
    court.script([{"pattern": "Who", "output": "VERDICT-{marker}: CORRECT"}, {"output": "VERDICT-{marker}: 11"}])
    shown = told("run", str(court.write(ITEMS, [metric(court)])), "--quiet")
    shared, columns, row = shown.splitlines()[:3]
    assert shared.endswith("0 unparsed, 0 failed")
    assert columns.split()[-2:] == ["n", "unscored"]
    assert row.split()[-2:] == ["1", "1"]
    assert "graded/judge/correctness: 1 unscored (unknown_verdict 1)" in shown


def test_a_trial_is_shown_with_requests_replies_verdicts_and_reasons(court: Any) -> None:
    court.script(
        [
            {"pattern": "Where", "again": False, "output": "Hard to say.\x1b[31m"},
            {"pattern": "Where", "again": True, "output": "VERDICT-{marker}: MAYBE"},
            {"output": "It is she.\nVERDICT-{marker}: CORRECT"},
        ]
    )
    path = court.write(ITEMS, [metric(court)])
    result = themis.run(path)
    with themis.open_results(path) as results:
        trials = {row.item_id: row.trial_id for row in results.trials(result.run_id)}
    shown = {
        item: told("show", "trial", result.run_id, trial, "--spec", str(path)) for item, trial in trials.items()
    }  # fmt: skip
    assert shown["a"].count("Judge of graded/judge/correctness: asked judge-1") == 1
    assert "It is she." in shown["a"]
    verdicts = shown["a"].partition("Verdicts of graded/judge/correctness\n")[2].splitlines()
    assert [line.split() for line in verdicts[:2]] == [
        ["judge", "repeat", "value", "reason", "label"],
        ["judge-1", "0", "1", "–", "CORRECT"],
    ]
    assert shown["b"].count("Judge of graded/judge/correctness: asked judge-1") == 2
    assert "Hard to say.\\x1b[31m" in shown["b"]
    verdicts = shown["b"].partition("Verdicts of graded/judge/correctness\n")[2].splitlines()
    assert verdicts[1].split() == ["judge-1", "0", "–", "unknown_verdict", "MAYBE", "True"]


def test_a_prompt_is_shown_whole_where_one_judge_is_named(court: Any) -> None:
    shown = told("plugins", "show", "judge/correctness")
    assert "judge/correctness (version 1)" in shown
    assert "INCORRECT: the answer contradicts the reference" in shown
    assert "judge/scale" not in shown
    data = json.loads(told("plugins", "show", "judge/correctness", "--format", "json"))
    (judge,) = data["components"]["judge"]
    prompt = next(each["default"] for each in judge["config"] if each["name"] == "prompt")
    assert prompt.startswith("Judge whether the answer to a question is correct.")
    wrong = CliRunner().invoke(cli, ["plugins", "show", "judge/correctnes"], prog_name="themis")
    assert wrong.exit_code == 2
    assert "It offers: correctness, pairwise, rubric, scale. Did you mean judge/correctness?" in wrong.output
