"""The report on the four recorded models of GSM8K: by the command and from Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import themis_core as themis
from themis_core.cli import cli
from themis_plugin_report.reports import page_of, tables_of
from themis_plugin_report.tables import as_markdown

SPEC = Path(__file__).with_name("gsm8k.yaml")
MARKDOWN = """\
## Scores

All rows: run {run}, slice test, prompt plain, score accuracy, metric text/numeric\\_match, method wilson, \
0 unscored, 0 failed

| model | value | 95 % interval | n | unparsed |
| --- | ---: | ---: | ---: | ---: |
| 175b\\_finetuning | 0.3472 | [0.322, 0.373] | 1319 | 5 |
| 175b\\_verification | 0.5625 | [0.536, 0.589] | 1319 | 1 |
| 6b\\_finetuning | 0.2168 | [0.195, 0.240] | 1319 | 4 |
| 6b\\_verification | 0.3904 | [0.364, 0.417] | 1319 | 1 |
"""


@pytest.fixture(scope="module")
def finished(gsm8k: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("gsm8k")
    overrides = [
        f"project.storage.root_dir={folder}",
        f"slices[0].dataset.dataset_id={gsm8k / 'test.jsonl'}",
        *(f"models[{i}].extras.path={gsm8k / 'solutions'}/{{model_id}}.jsonl" for i in range(4)),
    ]
    project = folder / "project.json"
    project.write_text(f'{{"storage": {{"backend": "sqlite", "root_dir": "{folder}"}}}}', "utf-8")
    return themis.run(SPEC, overrides=overrides).run_id, project


def test_the_command_and_python_write_the_same_table(finished: tuple[str, Path]) -> None:
    run_id, project = finished
    arguments = ["report", run_id, "--project", str(project), "--format", "markdown", "--table", "scores"]
    done = CliRunner().invoke(cli, arguments, prog_name="themis")
    assert done.stdout == as_markdown(tables_of([run_id], project=project)["scores"]) == MARKDOWN.format(run=run_id)


def test_the_page_holds_all_results_in_a_tenth_of_what_twenty_thousand_may_have(
    finished: tuple[str, Path], tmp_path: Path
) -> None:
    run_id, project = finished
    page = page_of(project=project)
    assert "175b_verification has the highest accuracy: 0.563 [0.536, 0.589]" in page
    assert len(page) < 1.5e6
    output = tmp_path / "report.html"
    done = CliRunner().invoke(cli, ["report", run_id, "--project", str(project), "-o", str(output)], prog_name="themis")
    assert re.search(r"report.html: 1\.\d MB, 5276 results of 5276", done.stderr)
    assert output.read_text("utf-8") == page
