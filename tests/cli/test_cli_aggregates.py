"""Results whose numbers are made by a loose file: shown with the spec that names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from themis_core.cli import cli

MOST = """
from themis_core import Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Most(Metric):
    aggregates_mean = False

    def score(self, item, generation, value):
        return Score(float(value == item.reference))

    def aggregate(self, scores):
        return max(each.value for each in scores)


@hookimpl
def themis_register_metrics(register):
    register("most", Most)
"""


def themis(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], prog_name="themis")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a run in the current folder: two rows, of which one is right."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MOST)
    rows = [{"id": each, "output": "x", "gold": each} for each in ("x", "y")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    benchmark = {
        "benchmark_id": "agg",
        "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "rows.jsonl"}}],
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "?"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/jsonl", "dataset_id": "rows.jsonl", "fields": {"reference": "gold"}},
                "generation": {},
                "scores": [{"name": "e", "metrics": ["mine/most"]}],
            }
        ],
    }
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump({"project": {"plugins": {"mine": "./mine.py"}}, "benchmark": benchmark}))
    assert themis("run", file).exit_code == 0
    return file


def value(done: Result) -> float:
    found: float = json.loads(done.stdout)["result"]["scores"][0]["value"]
    return found


def test_with_the_spec_the_number_is_there(spec: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert value(themis("show", "run", "agg", "--spec", spec, "--format", "json")) == 1.0
    assert caplog.messages == []


@pytest.mark.parametrize("more", [(), ("--by", "model"), ("--format", "json")])
def test_without_it_the_command_says_that_it_wants_the_spec(spec: Path, more: tuple[str, ...]) -> None:
    done = themis("show", "run", "agg", *more)
    assert done.exit_code == 2
    assert "mine/most makes of its scores is in the loose file " in done.stderr
    assert "`--spec`" in done.stderr
    assert "not installed" not in done.stderr


def test_without_it_all_else_is_shown(spec: Path) -> None:
    assert themis("runs").exit_code == 0
    assert themis("show", "trial", "agg", "x").exit_code == 0


def test_a_file_that_was_edited_since_is_told(spec: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec.with_name("mine.py").write_text(MOST.replace("max(", "min("))
    assert value(themis("show", "run", "agg", "--spec", spec, "--format", "json")) == 0.0
    assert caplog.messages == ["mine/most was edited since the run: its number is the one that it makes now"]


def test_a_metric_can_tell_which_scores_are_of_one_item(spec: Path) -> None:
    by_item = "def aggregate_items(self, items):\n        return sum(max(s.value for s in item) for item in items) / 4"
    spec.with_name("mine.py").write_text(MOST.replace("def aggregate(", f"{by_item}\n\n    def aggregate("))
    rows = [{"id": each, "sample": n, "output": "xy"[n]} for each in ("x", "y") for n in (0, 1)]
    (spec.parent / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    extras = {"path": "answers.jsonl", "fields": {"sample": "sample"}}
    models = [{"model_id": "m", "provider": "replay/file", "extras": extras}]
    changes = ("--set", f"benchmark.models={json.dumps(models)}", "--set", "benchmark.num_samples=2")
    done = themis("run", spec, "--format", "json", *changes)
    # One of two samples is right for either item: (1 + 1) / 4.
    assert (done.exit_code, json.loads(done.stdout)["scores"][0]["value"]) == (0, 0.5)
