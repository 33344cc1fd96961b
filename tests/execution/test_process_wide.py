"""What a component does to the whole process, or to others of its batch: the run goes on, and loses nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

PLUGIN = '''
import contextlib, io, os, time
from themis_core import Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Base(Metric):
    victims: tuple[str, ...] = ("i1",)

    def score(self, item, generation, value):
        if item.id in self.victims:
            self.harm()
        return Score(1.0)


class Moves(Base):
    """Changes the working directory."""

    runs_in = "inline"

    def harm(self):
        os.chdir("/")


class MovesInAThread(Moves):
    runs_in = "thread"


class Silent(Base):
    """Hangs while it has what is printed for itself."""

    runs_in = "thread"
    seconds_per_call = 0.2

    def harm(self):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            time.sleep(4)


class Wordless(Base):
    """Raises what takes for ever to say what it is."""

    runs_in = "inline"

    def harm(self):
        class Mute(Exception):
            def __str__(self):
                time.sleep(3600)

        raise Mute


class Raises(Base):
    runs_in = "inline"

    def harm(self):
        raise ValueError(type(self).__name__)


class RaisesToo(Raises):
    pass


class Exits(Base):
    runs_in = "process"
    batch_size = 16

    def harm(self):
        os._exit(3)

    def score_batch(self, answers):
        return [self.score(*each) for each in answers]


class Waits(Exits):
    runs_in = "thread"
    seconds_per_call = 0.3

    def harm(self):
        while True:
            pass


@hookimpl
def themis_register_metrics(register):
    for cls in (Moves, MovesInAThread, Silent, Wordless, Raises, RaisesToo, Exits, Waits):
        register(cls.__name__.lower(), cls)
'''


def write(folder: Path, *metrics: Any, items: int = 3) -> None:
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    answers = [json.dumps({"id": f"i{number}", "output": "x"}) for number in range(items)]
    (folder / "answers.jsonl").write_text("\n".join(answers), encoding="utf-8")
    spec = {
        "project": {"plugins": {"mine": "./mine.py"}},
        "benchmark": {
            "benchmark_id": "b",
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {
                        "source": "files/jsonl",
                        "dataset_id": "answers.jsonl",
                        "fields": {"id": "id", "output": "output"},
                    },
                    "scores": [{"name": "all", "metrics": list(metrics)}],
                }
            ],
        },
    }
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")


def missing(folder: Path, run_id: str) -> dict[str, str | None]:
    """The reason of each score that has no value, by its item."""
    with themis.open_results(folder / "spec.json") as results:
        return {row.item_id: row.reason for row in results.score_rows(run_id) if row.value is None}


@pytest.mark.parametrize("metric", ["mine/moves", "mine/movesinathread"])
def test_a_store_is_found_wherever_a_component_moves_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    write(tmp_path, metric)
    monkeypatch.chdir(tmp_path)
    result = themis.run("spec.json")
    assert (result.status, missing(tmp_path, result.run_id)) == ("completed", {})
    assert result.storage == ".themis/themis.sqlite3"  # as it is written, not as it is opened


def test_what_a_thread_has_for_itself_that_was_left_behind_is_given_back(tmp_path: Path) -> None:
    write(tmp_path, "mine/silent")
    before = sys.stdout, sys.stderr
    result = themis.run(tmp_path / "spec.json")
    assert missing(tmp_path, result.run_id) == {"i1": "metric_timeout"}
    assert (sys.stdout, sys.stderr) == before


def test_an_error_that_does_not_say_what_it_is_is_named_by_its_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["themis_core.plugins.blaming"], "TEXT_S", 0.2)
    write(tmp_path, "mine/wordless")
    result = themis.run(tmp_path / "spec.json")
    assert missing(tmp_path, result.run_id) == {"i1": "metric_error"}
    assert "such as: mine/wordless: score: Mute." in result.warnings[0]


def test_an_example_is_told_of_the_metric_that_it_is_of(tmp_path: Path) -> None:
    write(tmp_path, "mine/raises", "mine/raisestoo")
    told = [each.partition("(metric_error)") for each in themis.run(tmp_path / "spec.json").warnings]
    assert [(each[0].split(":")[0], each[2].split(".")[0]) for each in told] == [
        ("all/mine/raises", ", such as: mine/raises: score: ValueError: Raises"),
        ("all/mine/raisestoo", ""),
    ]


@pytest.mark.parametrize(("metric", "reason"), [("mine/exits", "metric_error"), ("mine/waits", "metric_timeout")])
def test_answers_at_which_batches_fail_cost_no_others_their_scores(tmp_path: Path, metric: str, reason: str) -> None:
    """Each fails as many times as its batch is halved, which is not call after call that fails."""
    write(tmp_path, {"id": metric, "config": {"victims": ["i0", "i16"]}}, items=32)
    result = themis.run(tmp_path / "spec.json")
    assert missing(tmp_path, result.run_id) == {"i0": reason, "i16": reason}
