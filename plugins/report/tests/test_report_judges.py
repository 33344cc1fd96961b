"""Judges against people's labels on the page: tables, the plot of their reliability, corrected means."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import themis_core as core
from themis_core import SpecError
from themis_core.cli import cli
from themis_core.testing.server import ScriptedServer
from themis_labels import Labels
from themis_plugin_report.reports import Wanted, page_of, tables_of

PLUGIN = '''
from themis_core import Judge, JudgeRequest, Score, hookimpl


class Told(Judge):
    """Gives what the item says that it gives."""

    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": str(judged.item.fields["verdict"])}])]

    def score(self, judged, replies):
        return Score(float(replies[0].generation.text))


@hookimpl
def themis_register_judges(register):
    register("told", Told)
'''


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"answers": {"rule": "echo"}}) as running:
        yield running


def spec_of(folder: Path, server: ScriptedServer, labelled: list[tuple[float, Any]]) -> Path:
    """A run whose judge gave these values to answers with these labels, and 1 to 6 of 10 answers of a model."""
    endpoint = {"provider": "openai/chat", "extras": {"base_url": server.base_url}}
    judge = {"id": "mine/told", "judge": {"model": {"model_id": "judge-1", **endpoint}}}
    rows: dict[str, list[dict[str, Any]]] = {
        "labelled": [
            {"id": f"l{number}", "output": f"o{number}", "verdict": verdict, "human": label}
            for number, (verdict, label) in enumerate(labelled)
        ],
        "asked": [{"id": f"a{number}", "q": f"q{number}", "verdict": int(number < 6)} for number in range(10)],
    }
    fields = {"labelled": {"id": "id", "output": "output", "metadata": ["human"]}, "asked": {"id": "id"}}
    slices: list[dict[str, Any]] = [
        {
            "slice_id": name,
            "dataset": {"source": "files/inline", "fields": fields[name], "extras": {"rows": rows[name]}},
            "scores": [{"name": "graded", "metrics": [judge]}],
        }
        for name in rows
    ]
    slices[1]["generation"] = {}
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "small-1", **endpoint}],
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": slices,
    }
    (folder / "mine.py").write_text(PLUGIN, "utf-8")
    project = {"storage": {"backend": "sqlite", "root_dir": "store"}, "plugins": {"mine": "mine.py"}}
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"project": project, "benchmark": benchmark}), "utf-8")
    core.run(spec)
    return spec


BINARY = [*([(1, 1)] * 18), *([(0, 1)] * 2), *([(1, 0)] * 4), *([(0, 0)] * 16)]


def pictures(page: str) -> list[str]:
    """The texts of the light pictures under "Judges against people"."""
    part = page.partition("<h3>Judges against people</h3>")[2].partition("<table")[0]
    return [base64.b64decode(each).decode() for each in re.findall(r'class="light" src="data:[^,]*,([^"]*)"', part)]


def test_labels_give_agreement_reliability_and_corrected_means(tmp_path: Path, server: ScriptedServer) -> None:
    spec = spec_of(tmp_path, server, BINARY)
    wanted = Wanted(labels=Labels("human"))
    tables = tables_of(spec=spec, wanted=wanted)
    agreement = {row[0]: list(row[1:]) for row in tables["agreement"].rows}
    assert tables["agreement"].header == ["figure", "value", "95 % interval", "n"]
    assert agreement["sensitivity"] == ["0.9000", "[0.699, 0.972]", "20"]
    assert agreement["specificity"] == ["0.8000", "[0.584, 0.919]", "20"]
    assert agreement["accuracy"][0] == "0.8500"
    (corrected,) = tables["corrected"].rows
    told = dict(zip(tables["corrected"].header, corrected, strict=True))
    # Rogan and Gladen: (0.6 + 0.8 - 1) / (0.9 + 0.8 - 1) = 4/7
    assert (told["judge"], told["corrected"], told["n"]) == ("0.6000", "0.5714", "10")
    reliability, means = pictures(page_of(spec=spec, wanted=wanted))
    assert "n = 18" in reliability  # it said 0 of 2 right and 16 wrong ones
    assert "n = 22" in reliability
    assert "small-1" in means


def test_grades_beyond_ten_values_are_shown_in_spans(tmp_path: Path, server: ScriptedServer) -> None:
    grades = [(number / 40, min(1.0, number / 40 + 0.1)) for number in range(41)]
    spec = spec_of(tmp_path, server, grades)
    reliability = pictures(page_of(spec=spec, wanted=Wanted(labels=Labels("human"))))[0]
    assert (reliability.count("n = 4"), reliability.count("n = 5")) == (9, 1)


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in args], prog_name="themis")


def test_the_command_measures_by_labels_that_are_words(tmp_path: Path, server: ScriptedServer) -> None:
    words = [(verdict, "good" if label else "bad") for verdict, label in BINARY]
    spec, output = spec_of(tmp_path, server, words), tmp_path / "report.md"
    label = ("--label", "human", "--label-value", "good=1", "--label-value", "bad=0")
    done = themis("report", "--spec", spec, *label, "--table", "agreement", "-o", output)
    assert done.exit_code == 0, done.output
    assert "| accuracy | 0.8500 |" in output.read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label", "humen"), "no item has a label in 'humen'"),
        (("--label-value", "good=1"), "add --label NAME"),
        (("--label", "human", "--label-value", "good"), "write it as label=number"),
        (("--label", "human", "--setup"), "leave out --by and --label"),
    ],
)
def test_labels_that_are_not_there_are_told(
    tmp_path: Path, server: ScriptedServer, options: tuple[str, ...], message: str
) -> None:
    spec = spec_of(tmp_path, server, BINARY)
    done = themis("report", "--spec", spec, *options, "--format", "markdown")
    assert (done.exit_code, message in done.output.replace("\n", " ")) == (2, True), done.output


def test_a_run_without_judges_has_nothing_to_measure(spec: Path) -> None:
    with pytest.raises(SpecError, match="has no score by a judge"):
        page_of(spec=spec, wanted=Wanted(labels=Labels("human")))
