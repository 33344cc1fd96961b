"""Scores that share a parse read an answer once, in one run and in a later one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

PLUGIN = """
from pathlib import Path

from themis_core import Extraction, Extractor, Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1
HERE = Path(__file__).parent


class Reads(Extractor):
    runs_in = "inline"
    fails: bool = False

    def extract(self, text):
        with (HERE / "read").open("a") as file:
            file.write("x")
        if self.fails:
            raise ValueError("planted")
        return Extraction([text])


class First(Metric):
    runs_in = "inline"

    def score(self, item, generation, value):
        value.append("changed")
        value.pop()
        return Score(float(value == [generation.text]))


class Second(First):
    pass


@hookimpl
def themis_register_extractors(register):
    register("reads", Reads)


@hookimpl
def themis_register_metrics(register):
    register("first", First)
    register("second", Second)
"""
TRIALS = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    rows = [json.dumps({"id": number, "output": f"answer {number}"}) for number in range(TRIALS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def run(folder: Path, scores: list[dict[str, Any]], *, fails: bool = False) -> tuple[themis.RunResult, int]:
    """Score recorded outputs by two parses of one kind; also how often an answer was read in this run."""
    extractor = {"id": "mine/reads", "config": {"fails": fails}}
    spec = {
        "project": {"plugins": {"mine": "mine.py"}, "storage": {"backend": "sqlite", "root_dir": "store"}},
        "benchmark": {
            "benchmark_id": "b",
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/jsonl", "dataset_id": "rows.jsonl", "fields": {"output": "output"}},
                    "parses": [{"name": "one", "extractors": [extractor]}, {"name": "two", "extractors": [extractor]}],
                    "scores": scores,
                }
            ],
        },
    }
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    read = folder / "read"
    read.write_text("", encoding="utf-8")
    result = themis.run(folder / "spec.json")
    return result, len(read.read_text())


def scored(parse: str, *metrics: str) -> dict[str, Any]:
    return {"name": parse, "parse": parse, "metrics": [f"mine/{each}" for each in metrics]}


def test_two_metrics_of_one_parse_read_each_answer_once_and_get_a_copy_each(folder: Path) -> None:
    result, times = run(folder, [scored("one", "first", "second")])
    assert times == TRIALS
    assert [(each.value, each.unscored) for each in result.scores] == [(1.0, 0), (1.0, 0)]


def test_each_parse_reads_for_itself(folder: Path) -> None:
    _, times = run(folder, [scored("one", "first"), scored("two", "second")])
    assert times == 2 * TRIALS


@pytest.mark.parametrize("metrics", [("first", "second"), ("second", "first")])
def test_a_further_metric_takes_what_was_read_for_the_one_that_is_stored(
    folder: Path, metrics: tuple[str, str]
) -> None:
    run(folder, [scored("one", "first")])
    result, times = run(folder, [scored("one", *metrics)])
    assert (times, result.generated) == (0, 0)
    assert [each.value for each in result.scores] == [1.0, 1.0]


def test_an_extractor_that_fails_costs_one_call_and_all_scores_of_its_parse(folder: Path) -> None:
    result, times = run(folder, [scored("one", "first", "second")], fails=True)
    assert times == TRIALS
    assert [(each.unscored, each.reasons) for each in result.scores] == [(TRIALS, {"extractor_error": TRIALS})] * 2
