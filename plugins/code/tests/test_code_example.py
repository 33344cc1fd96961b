"""The example of forty problems: its numbers, and what each of its attacks comes to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import themis_core
from themis_plugin_code.blocks import Python
from themis_plugin_code.running import Job, report_of

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "code.yaml"
ATTACKS = {
    ("caesar", 0): ("a fork bomb", "refused"),
    ("binary_gap", 1): ("an endless loop", "timeout"),
    ("digits_sum", 2): ("4 GB", "refused"),
    ("rotate", 3): ("a write outside", "refused"),
    ("second_largest", 4): ("a socket", "refused"),
    ("collatz", 0): ("an exit", "failed"),
    ("spiral", 2): ("equal to everything", "failed"),
    ("largest_product", 3): ("4 GB", "refused"),
    ("power_set", 1): ("a fork bomb", "refused"),
    ("sum_of_squares", 0): ("a socket", "refused"),
    ("split_by_case", 1): ("an endless loop", "timeout"),
    ("evaluate", 2): ("a write outside", "refused"),
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits hold on Linux")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLE.parent / "code" / name).read_text("utf-8").splitlines()]


def test_the_example_has_the_numbers_that_its_page_shows(tmp_path: Path) -> None:
    result = themis_core.run(EXAMPLE, overrides=[f"project.storage.root_dir={tmp_path}"])
    found = [(row.metric, row.value, row.n, row.failed, row.unscored) for row in result.scores]
    assert found == [("pass@1", 0.65, 200, 0, 0), ("pass@5", 0.925, 200, 0, 0)]
    page = (ROOT / "docs" / "programs.md").read_text("utf-8")
    for row in result.scores:
        assert f"{row.metric}  {row.value:.4f}  [{row.low:.3f}, {row.high:.3f}]  {row.n}" in page


def test_the_problems_are_forty_of_both_forms() -> None:
    problems = rows("problems.jsonl")
    assert ([each["form"] for each in problems].count("function"), len({each["id"] for each in problems})) == (25, 40)
    assert len(rows("answers.jsonl")) == 5 * 40


def test_each_attack_of_the_example_comes_to_its_outcome() -> None:
    problems = {each["id"]: each for each in rows("problems.jsonl")}
    answers = {(each["id"], each["sample"]): each["output"] for each in rows("answers.jsonl")}
    found = {}
    for (name, sample), (what, _) in ATTACKS.items():
        problem = problems[name]
        entry_point = problem.get("entry_point", "")
        tests = problem.get("test_list") or [f"{problem['test']}\ncheck({entry_point})"]
        program = Python().extract(answers[name, sample]).value
        report = report_of(Job(program, tests, prompt=problem["prompt"], entry_point=entry_point, cpu_s=1))
        found[name, sample] = (what, report["outcome"])
    assert found == ATTACKS
