"""The page on conversations: its specs run, and what it shows of a trial is what is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import themis_core
from themis_core.testing.server import ScriptedServer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "conversations.md").read_text("utf-8")
SAID = [
    {"model": "shop", "pattern": "A17", "output": "It is in Lyon, and arrives today."},
    {"model": "shop", "output": "What is the number of your order?"},
    {"model": "customer", "pattern": "Lyon", "output": "[END]"},
    {"model": "customer", "output": "A17, quickly please."},
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The files of the page, and a server that speaks its parts."""
    with ScriptedServer({"answers": {"rule": "judge", "rows": SAID}}) as server:
        for name in ("customers.jsonl", "by_rule.yaml", "simulated.yaml"):
            (text,) = re.findall(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
            (tmp_path / name).write_text(text.replace("http://127.0.0.1:8000/v1", server.base_url), "utf-8")
        yield tmp_path


def test_the_user_by_rule_on_the_page_is_told_where_the_parcel_is(folder: Path) -> None:
    result = themis_core.run(folder / "by_rule.yaml")
    assert (result.status, result.generated, [row.value for row in result.scores]) == ("completed", 2, [1.0])
    with themis_core.open_results(folder / "by_rule.yaml") as results:
        (row,) = results.trials(result.run_id)
        *_, last = results.trial(result.run_id, row.trial_id)["turns"]
    assert [each["content"] for each in last["request"]["messages"][1:]] == [
        "Where is my parcel?", "What is the number of your order?", "It is A17.",
    ]  # fmt: skip


def test_the_simulated_user_on_the_page_says_what_is_shown_there(folder: Path) -> None:
    plan = themis_core.plan(folder / "simulated.yaml")
    assert (plan.to_call, plan.at_most) == (4 + 3, True)
    result = themis_core.run(folder / "simulated.yaml")
    assert (result.status, result.generated, [row.value for row in result.scores]) == ("completed", 4, [1.0])
    (command,) = re.findall(r"`themis (show trial [^`]*)`", PAGE)
    done = subprocess.run(
        [sys.executable, "-m", "themis_core", *command.split()], cwd=folder, capture_output=True, text=True, check=True
    )
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = [re.sub(r" at 20\S*", "", line) for line in done.stdout.splitlines()]
    told = [line for line in printed if line.strip() and "→" not in line]
    first = told.index(shown.splitlines()[0])
    assert told[first : first + len(shown.splitlines())] == shown.splitlines()


def test_the_plan_on_the_command_line_says_that_it_is_a_bound(folder: Path) -> None:
    command = [sys.executable, "-m", "themis_core", "plan", "simulated.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "Calls by simulated user" in done.stdout
    _, _, shown = done.stdout.partition("Its simulated user, as asked for item lyon before any answer\n")
    assert "You play a customer of a shop, who is in a hurry. Your order has the number A17." in shown
    assert shown.rstrip().endswith("  assistant:\n    Where is my parcel?")
    assert "at most: a conversation may be over before max_turns" in done.stdout
