"""`--by` and what goes with it, on a run whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from themis_core.cli import cli

SPEC: dict[str, Any] = {
    "benchmark": {
        "benchmark_id": "capitals",
        "slices": [
            {
                "slice_id": name,
                "dataset": {
                    "source": "files/jsonl",
                    "dataset_id": f"{name}.jsonl",
                    "fields": {
                        "id": "id", "reference": "gold", "output": "said", "model": "by", "metadata": ["continent"],
                    },
                },
                "dimensions": {"level": "school" if name == "easy" else "college"},
                "parses": [{"name": "word", "extractors": [{"id": "extract/regex", "config": {"pattern": "A: (.+)"}}]}],
                "scores": [{"name": "accuracy", "parse": "word", "metrics": ["text/exact_match"]}],
            }
            for name in ("easy", "hard")
        ],
        "aggregates": [{"name": "both", "score": "accuracy", "by": ["model"]}],
    }
}  # fmt: skip
SAID = {
    # slice: continent, model, right of how many
    "easy": [("Europe", "large", 4, 4), ("Europe", "small", 3, 4), ("Asia", "large", 2, 2), ("Asia", "small", 1, 2)],
    "hard": [("Europe", "large", 1, 2), ("Europe", "small", 0, 2)],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.json").write_text(json.dumps(SPEC), "utf-8")
    for name, rows in SAID.items():
        lines = [
            {"id": f"{continent} {model} {n}", "gold": "x", "said": "A: x" if n < right else "A: y", "by": model,
             "continent": continent}
            for continent, model, right, total in rows
            for n in range(total)
        ]  # fmt: skip
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return tmp_path


def themis(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def table(text: str) -> list[list[str]]:
    """The cells of the first table: from the line of what all rows share to the first empty line."""
    lines = text[text.index("all rows:") :].split("\n\n")[0].splitlines()
    return [
        lines[0].split(),
        *([" ".join(cell.split()) for cell in line.split("  ") if cell.strip()] for line in lines[1:]),
    ]


def test_models_are_columns_where_that_fits_and_totals_come_last(folder: Path) -> None:
    shown = themis("run", "spec.json", "--quiet", "--by", "metadata.continent,model")
    assert shown.splitlines()[:5] == [
        "all rows: score accuracy, metric text/exact_match, 0 unparsed",
        "metadata.continent  n                 large                 small",
        "Asia                2  1.000 [0.342, 1.000]  0.500 [0.095, 0.905]",
        "Europe              6  0.833 [0.356, 0.978]  0.500 [0.188, 0.812]",
        "all                 8  0.875 [0.481, 0.981]  0.500 [0.215, 0.785]",
    ]
    assert "both: macro mean of 2 groups by slice\n" in shown


def test_a_wide_table_has_a_row_for_each_number_in_the_order_that_is_asked_for(folder: Path) -> None:
    themis("run", "spec.json", "--quiet")
    shown = themis("show", "run", "capitals", "--by", "dimensions.level,model", "--wide", "--sort", "-value")
    assert [row[:3] for row in table(shown)[1:]] == [
        ["dimensions.level", "model", "value"],
        ["school", "large", "1.0000"],
        ["school", "small", "0.6667"],
        ["college", "large", "0.5000"],
        ["college", "small", "0.0000"],
        ["all", "large", "0.8750"],
        ["all", "small", "0.5000"],
    ]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("model", ["large", "large", "small", "small"]),
        ("-model", ["small", "small", "large", "large"]),
        ("value", ["small", "large", "small", "large"]),
        ("-n", ["large", "small", "large", "small"]),
    ],
)
def test_rows_are_sorted_either_way_with_totals_last(folder: Path, sort: str, expected: list[str]) -> None:
    themis("run", "spec.json", "--quiet")
    shown = table(themis("show", "run", "latest", "--by", "slice,model", "--wide", "--sort", sort))
    assert [row[1] for row in shown[2:6]] == expected
    assert [row[0] for row in shown[6:]] == ["all", "all"]


def test_groups_are_in_json_beside_the_result(folder: Path) -> None:
    run = json.loads(themis("run", "spec.json", "--quiet", "--by", "slice", "--format", "json"))
    shown = json.loads(themis("show", "run", "capitals", "--by", "slice", "--format", "json"))
    assert run["groups"] == shown["groups"]
    assert [(row["group"], row["value"], row["n"]) for row in run["groups"]] == [
        ({"slice": "easy"}, pytest.approx(10 / 12), 12),
        ({"slice": "hard"}, 0.25, 4),
        ({}, pytest.approx(11 / 16), 16),
    ]
    both = [(row["aggregate"], row["group"], row["value"]) for row in run["aggregates"]]
    assert both == [("both", {"model": "large"}, 0.75), ("both", {"model": "small"}, pytest.approx(1 / 3))]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--by", "continent"],
            "results can't be grouped by 'continent'. Known: slice, model, prompt, family,",
        ),
        (["--metric", "bleu"], "--metric: no metric or score bleu. Known: text/exact_match, accuracy"),
        (["--sort", "speed"], "--sort: no column 'speed'. Known: value, n, slice, model, prompt, params"),
        (["--repeats", "pass3"], "repeats 'pass3': write pass@3"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(folder: Path, options: list[str], told: str) -> None:
    themis("run", "spec.json", "--quiet")
    assert told in themis("show", "run", "capitals", *options, code=2)


@pytest.mark.parametrize(
    "options", [["--by", "metadata.continents"], ["--repeats", "pass3"], ["--sort", "speed"], ["--metric", "bleu"]]
)
def test_what_can_not_be_shown_is_refused_before_anything_is_done(folder: Path, options: list[str]) -> None:
    themis("run", "spec.json", "--quiet", *options, code=2)
    assert not Path(".themis").exists()


def test_one_metric_alone_is_shown_if_asked_for(folder: Path) -> None:
    scores = ["text/exact_match", {"id": "text/contains", "name": "contained"}]
    again = json.loads(Path("spec.json").read_text())
    for each in again["benchmark"]["slices"]:
        each["scores"][0]["metrics"] = scores
    again["benchmark"]["aggregates"][0]["metric"] = "contained"
    Path("spec.json").write_text(json.dumps(again))
    shown = themis("run", "spec.json", "--quiet", "--by", "slice", "--metric", "contained")
    assert shown.splitlines()[0] == "all rows: score accuracy, metric contained, 0 unparsed, 0 unscored, 0 failed"


def test_numbers_that_are_means_of_different_things_say_so_and_have_no_mean_together(folder: Path) -> None:
    mixed = json.loads(Path("spec.json").read_text())
    mixed["benchmark"]["slices"][1]["scores"][0]["denominator"] = "planned_missing_worst"
    Path("spec.json").write_text(json.dumps(mixed))
    shown = themis("run", "spec.json", "--quiet", "--by", "slice,model")
    lines = [[cell for cell in line.split("  ") if cell] for line in shown.splitlines()[1:6]]
    assert "means" in [cell.strip() for cell in lines[0]]
    kinds = {"scored", "planned_missing_worst"}
    found = {(line[0], *(cell.strip() for cell in line if cell.strip() in kinds)) for line in lines[1:]}
    assert found == {("easy", "scored"), ("hard", "planned_missing_worst")}
    alone = json.loads(themis("show", "run", "latest", "--by", "model", "--format", "json"))["groups"]
    assert {(row["value"], row["no_interval"]) for row in alone} == {(None, "not_alike")}


@pytest.mark.parametrize(
    ("unparsed", "waiver", "code", "told"),
    [
        (0, None, 0, None),
        (1, None, 0, None),
        (2, None, 0, "accuracy: 2 of 20 answers are unparsed for s · m · recorded, more than a twentieth"),
        (
            10,
            None,
            5,
            "accuracy: 10 of 20 answers are unparsed for s · m · recorded: the run ends with exit 5; `max_unparsed: 1`",
        ),
        (20, 1, 0, "accuracy: 20 of 20 answers are unparsed for s · m · recorded, more than a twentieth"),
        (4, 0.2, 5, "accuracy: 4 of 20 answers are unparsed for s · m · recorded: the run ends with exit 5;"),
    ],
)
def test_a_parse_that_finds_too_little_is_told_and_ends_the_run_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unparsed: int, waiver: float | None, code: int, told: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": str(n), "gold": "x", "said": "x" if n < unparsed else "A: x", "by": "m"} for n in range(20)]
    Path("d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parse: dict[str, Any] = {"name": "p", "extractors": [{"id": "extract/regex", "config": {"pattern": "A: (.+)"}}]}
    fields = {"id": "id", "reference": "gold", "output": "said", "model": "by"}
    one = {
        "slice_id": "s",
        "dataset": {"source": "files/jsonl", "dataset_id": "d.jsonl", "fields": fields},
        "parses": [parse if waiver is None else {**parse, "max_unparsed": waiver}],
        "scores": [{"name": "accuracy", "parse": "p", "metrics": ["text/exact_match"]}],
    }
    Path("spec.json").write_text(json.dumps({"benchmark": {"benchmark_id": "b", "slices": [one]}}))
    done = CliRunner().invoke(cli, ["run", "spec.json", "--quiet"])
    assert done.exit_code == code
    lines = done.stderr.splitlines()
    assert [line for line in lines if told and line.startswith(told)] == (lines if told else [])


def test_a_label_that_would_fill_the_table_shows_its_ends(folder: Path) -> None:
    long = f"Europe {'x' * 3_000} end"
    for name in SAID:
        path = folder / f"{name}.jsonl"
        path.write_text(path.read_text("utf-8").replace('"Europe"', json.dumps(long)), "utf-8")
    shown = themis("run", "spec.json", "--quiet", "--by", "metadata.continent", "--wide")
    assert f"Europe {'x' * 53}…{'x' * 16} end (3,011 characters)" in shown
    assert max(map(len, shown.splitlines())) < 300
