"""Tables as people put them into pull requests, papers and spreadsheets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import themis_core as core
from themis_core import RunRecord, Store
from themis_core.cli import cli
from themis_plugin_report.gathering import Gathered
from themis_plugin_report.reports import page_of
from themis_plugin_report.setups import setup_of
from themis_plugin_report.tables import Table, as_csv, as_latex, as_markdown, in_latex, in_markdown, tables

MARKDOWN = """\
## Scores

All rows: run {run}, slice all, prompt plain, score accuracy, metric text/exact\\_match, method wilson, 0 unscored

| model | value | 95 % interval | n | of planned | unparsed | failed |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| large | 1.0000 | [0.439, 1.000] | 3 | 4: 0.75 to 1.00 | 0 | 1 |
| small | 0.5000 | [0.150, 0.850] | 4 | – | 1 | 0 |
"""


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="themis")


def test_a_table_is_written_as_markdown_with_its_ledger(spec: Path, run_id: str) -> None:
    done = themis("report", run_id, "--spec", spec, "--format", "markdown", "--table", "scores")
    assert (done.exit_code, done.stdout) == (0, MARKDOWN.format(run=run_id))


def test_the_format_is_told_by_the_name_of_the_output_and_all_tables_are_in_it(
    spec: Path, run_id: str, tmp_path: Path
) -> None:
    output = tmp_path / "tables.tex"
    assert themis("report", run_id[:-2], "--spec", spec, "-o", output).exit_code == 0
    text = output.read_text("utf-8")
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") == 5
    assert r"large & 1.0000 & [0.439, 1.000]" in text


def test_csv_has_all_columns_of_one_table(spec: Path, run_id: str) -> None:
    done = themis("report", run_id, "--spec", spec, "--format", "csv", "--table", "outcomes")
    assert done.stdout.splitlines() == [
        "run,slice,model,prompt,params,trials,answered,refused,truncated,empty,absent,failed",
        f"{run_id},all,large,plain,default,4,3,0,0,0,0,1",
        f"{run_id},all,small,plain,default,4,4,0,0,0,0,0",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a page needs a file: add -o report.html, or --format markdown"),
        (
            ["--format", "csv", "--table", "prices"],
            "there is no table 'prices' to write: one of scores, groups, aggregates, outcomes",
        ),
        (["--setup", "-o", "setup.html"], "--setup writes a paragraph, which is no html: --format markdown or latex"),
        (["--setup", "--format", "csv"], "--setup writes a paragraph, which is no csv: --format markdown or latex"),
        (["--setup", "--table", "scores"], "--setup writes no table: leave out --table"),
        (["--table", "scores", "-o", "report.html"], "a page has all tables: leave out --table"),
        (["--format", "csv", "--results", "3"], "only an HTML page holds single results: leave out --results"),
        (["--format", "latex", "-o", "a.html"], "--output ends in .html, and --format is latex: leave one of them out"),
        (["-o", "report.docx"], "--output ends in .docx: add --format, one of html, markdown, latex, csv"),
    ],
)
def test_what_can_t_be_written_is_said_with_what_can(arguments: list[str], said: str, spec: Path, run_id: str) -> None:
    done = themis("report", run_id, "--spec", spec, *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


HOSTILE = Table(
    "x", "T", ("model", "value"),
    [["a|b `c` <img> _d_\n@all $x$ \x1b[2J\u202e", "1"], ["=1+1", "-0.5"], ["\\%&#{}~^", "2"]],
    figures=frozenset({"value"}),
)  # fmt: skip


def test_names_are_text_in_markdown_whatever_they_hold() -> None:
    assert as_markdown(HOSTILE).splitlines()[2:] == [
        "| model | value |",
        "| --- | ---: |",
        r"| a\|b \`c\` \<img\> \_d\_ \@all \$x\$ \\x1b\[2J\\u202e | 1 |",
        "| =1+1 | -0.5 |",
        r"| \\%\&\#{}\~^ | 2 |",
    ]


def test_bare_urls_are_no_links_in_markdown() -> None:
    assert in_markdown("http://a.example www.b.example c: d.e") == r"http\://a.example www\.b.example c: d.e"


def test_names_are_text_in_latex_whatever_they_hold() -> None:
    assert as_latex(HOSTILE).splitlines()[8:11] == [
        (
            r"a\textbar{}b \textasciigrave{}c\textasciigrave{} \textless{}img\textgreater{}"
            r" \_d\_ @all \$x\$ \textbackslash{}x1b[2J\textbackslash{}u202e & 1 \\"
        ),
        r"=1+1 & -0.5 \\",
        r"\textbackslash{}\%\&\#\{\}\textasciitilde{}\textasciicircum{} & 2 \\",
    ]


def test_no_name_is_a_command_s_argument_or_a_ligature_in_latex() -> None:
    table = Table("x", "T", ("[model]", "value"), [["[0.1]", "1"], ["*", "2"], ["\"a\" -- ''b'' ---", "3"]])
    assert [each for each in as_latex(table).splitlines() if each.endswith("\\\\")] == [
        r"{}[model] & value \\",
        r"{}[0.1] & 1 \\",
        r"{}* & 2 \\",
        r"\symbol{34}a\symbol{34} -{}- '{}'b'{}' -{}-{}- & 3 \\",
    ]


def test_no_spreadsheet_takes_a_name_for_a_formula() -> None:
    assert as_csv(HOSTILE).splitlines()[2:] == ["'=1+1,-0.5", "\\%&#{}~^,2"]


def test_the_set_up_says_data_models_reading_and_versions(made: tuple[Gathered, Store]) -> None:
    run = made[0].runs[0]
    told = setup_of(run)
    assert told.startswith("The slice all has 4 items of items.jsonl (SHA-256 of the items ")
    assert (
        "We evaluated small through replay/file and large through replay/file. Each item was asked with 1 prompt, "
        "plain. Inference parameters were the defaults of the provider. We drew 1 sample per prompt. "
        "The value number was read from answers by extract/regex. "
        "The score accuracy is text/exact_match (version "
    ) in told
    assert f"The run is {run.run_id}, its spec {run.manifest['spec_digest'][:16]}" in told


def set_up_of(run: RunRecord, slices: list[dict[str, Any]], **benchmark: Any) -> str:
    """The set-up of a run whose manifest had these slices."""
    changed = {**run.manifest["benchmark"], "slices": slices, **benchmark}
    return setup_of(replace(run, manifest={**run.manifest, "benchmark": changed}))


def test_the_set_up_says_what_values_and_aggregates_are_means_of(made: tuple[Gathered, Store]) -> None:
    run = made[0].runs[0]
    (scorer,) = run.manifest["scorers"]
    aggregates = [
        {
            "name": "a",
            "score": "accuracy",
            "metric": None,
            "levels": ["slice"],
            "weighting": "micro",
            "repeats": "pass@3",
        },
        {"name": "b", "score": "accuracy", "metric": "m", "levels": ["metadata.level"], "weighting": "macro"},
        {"name": "c", "score": "accuracy", "levels": ["slice", "dimensions.task"], "weighting": "nested_macro"},
    ]
    scorers = [
        {**scorer, "denominator": "planned_missing_worst"},
        {**scorer, "score": "format", "denominator": "parsed"},
    ]
    benchmark = {**run.manifest["benchmark"], "aggregates": aggregates}
    told = setup_of(replace(run, manifest={**run.manifest, "scorers": scorers, "benchmark": benchmark}))
    assert (
        "Of accuracy: means are of all planned trials; refused, empty and unparsed answers, failed calls, and answers "
        "that could not be scored, count as the metric's worst value. Of format: means are of parsed answers alone; "
        "unparsed ones, failed calls, and answers that could not be scored, are in no mean, and are counted beside it. "
        "Intervals are 95 % intervals over items. "
        "a is the micro mean of accuracy of all scores, with pass@3 of each item's samples. "
        "b is the macro mean of accuracy/m of groups by metadata.level. "
        "c is the nested macro mean of accuracy of groups by slice, in those by dimensions.task. "
    ) in told
    assert "Refused, empty" not in told


def test_the_set_up_says_what_a_slice_has_of_its_own(made: tuple[Gathered, Store]) -> None:
    run = made[0].runs[0]
    (common,) = run.manifest["benchmark"]["slices"]
    query = {"item_ids": ["eggs", "feet"], "filters": {"level": ["a", "b"]}, "kind": "subset", "count": 2, "limit": 1}
    own = {
        **common, "slice_id": "own", "prompt_variants": ["plain"],
        "generation": {"num_samples": 4, "models": ["large"], "inference_grid": {"params": [{"temperature": 0.7}]}},
    }  # fmt: skip
    told = set_up_of(run, [{**common, "dataset_query": query}, own])
    assert (
        "items.jsonl, chosen by 2 ids, those whose level is a or b, taken by the sampling 'subset' of 2 with the seed "
        "0, at most the first 1 (SHA-256"
    ) in told
    assert (
        "The slice own was asked of large alone. The slice own was asked with plain. "
        "Inference parameters in the slice all were the defaults of the provider. "
        "Inference parameters in the slice own were temperature 0.7. "
        "We drew 1 sample per prompt in the slice all. We drew 4 samples per prompt in the slice own. "
    ) in told


def test_the_set_up_says_of_recorded_outputs_that_no_model_was_asked(made: tuple[Gathered, Store]) -> None:
    run = made[0].runs[0]
    (common,) = run.manifest["benchmark"]["slices"]
    told = set_up_of(run, [{**common, "generation": None}])
    assert "The answers are those that the data holds: no model was asked for them. The value number" in told
    assert [words for words in ("Inference", "sample", "We evaluated", "prompt") if words in told] == []


def test_the_set_up_names_the_judging_models_of_what_asks_any(made: tuple[Gathered, Store]) -> None:
    run = made[0].runs[0]
    (common,) = run.manifest["benchmark"]["slices"]
    scorers = [{**each, "kind": "judge"} for each in run.manifest["scorers"]]
    run = replace(run, manifest={**run.manifest, "scorers": scorers})
    assert "judg" not in set_up_of(run, [common]).split("The score ")[1].split("Refused")[0]
    judge = {"model": {"model_id": "arbiter", "provider": "replay/file"}, "params": {"temperature": 0.0}, "repeats": 3}
    metrics = [{**each, "judge": [judge]} for each in common["scores"][0]["metrics"]]
    told = set_up_of(run, [{**common, "scores": [{**common["scores"][0], "metrics": metrics}]}])
    assert (
        "Its verdicts are by arbiter through replay/file (parameters: temperature 0.0, asked 3 times). Refused"
    ) in told


def test_names_are_text_in_the_set_up_whatever_it_is_written_as(spec: Path, tmp_path: Path) -> None:
    told = json.loads(spec.read_text("utf-8"))
    told["project"]["storage"]["root_dir"] = str(tmp_path / "store")
    told["benchmark"]["slices"][0]["slice_id"] = "<script>$a_b</script>"
    hostile = spec.with_name("hostile.json")
    hostile.write_text(json.dumps(told), "utf-8")
    core.run(hostile)
    written = {}
    for suffix in ("txt", "md", "tex"):
        output = tmp_path / f"setup.{suffix}"
        assert themis("report", "--spec", hostile, "--setup", "-o", output).exit_code == 0
        written[suffix] = output.read_text("utf-8").split(" has ")[0]
    assert written == {
        "txt": "The slice <script>$a_b</script>",
        "md": r"The slice \<script\>\$a\_b\</script\>",
        "tex": r"The slice \textless{}script\textgreater{}\$a\_b\textless{}/script\textgreater{}",
    }


def test_tables_that_say_nothing_are_left_out(made: tuple[Gathered, Store]) -> None:
    assert [each.name for each in tables(made[0])] == ["scores", "groups", "outcomes", "calls", "provenance"]


@pytest.fixture
def unfinished(spec: Path, tmp_path: Path) -> Path:
    """A spec whose run was stopped after the first of its answers."""
    told = json.loads(spec.read_text("utf-8"))
    told["project"]["storage"]["root_dir"] = str(tmp_path / "store")
    told["project"]["plugins"] = {"mine": str(tmp_path / "mine.py")}
    told["benchmark"]["models"] = [{"model_id": "mine", "provider": "mine/slow"}]
    for each in told["benchmark"]["slices"]:
        each["dataset"]["dataset_id"] = str(spec.parent / each["dataset"]["dataset_id"])
    told["project"]["execution_policy"] = {"max_calls": 1, "max_in_flight_work_items": 1}
    (tmp_path / "mine.py").write_text(ONE_ANSWER, "utf-8")
    made = tmp_path / "unfinished.json"
    made.write_text(json.dumps(told), "utf-8")
    core.run(made)
    return made


ONE_ANSWER = """
from themis_core import Engine, Generation, hookimpl

class Slow(Engine):
    async def generate(self, request):
        return Generation("A: 96")

@hookimpl
def themis_register_engines(register):
    register("slow", Slow)
"""


def test_what_is_told_of_an_unfinished_run_says_so_first(unfinished: Path, tmp_path: Path) -> None:
    with core.open_results(unfinished) as results:
        run = next(results.runs())
    told = f"Unfinished: 3 of 4 trials of {run.run_id} ({run.status}) have no outcome yet; the numbers are of 1"
    asked = ("report", "--spec", unfinished)
    assert themis(*asked, "--format", "markdown").stdout.startswith(f"**{in_markdown(told)}.**\n\n## Scores\n")
    assert themis(*asked, "--format", "latex").stdout.startswith(rf"\textbf{{{in_latex(told)}.}}")
    assert themis(*asked, "--setup").stdout.startswith(f"{told}. The slice ")
    assert themis(*asked, "--setup", "--format", "markdown").stdout.startswith(f"**{in_markdown(told)}.** The slice ")
    done = themis(*asked, "--format", "csv")
    assert (done.stdout[:4], done.stderr) == ("run,", f"{told}.\n")
    page = page_of(spec=unfinished)
    verdicts = page[page.index('<ul class="verdicts of-it">') :]
    assert told in verdicts[: verdicts.index("</li>")]
