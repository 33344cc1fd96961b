"""The commands of the page "Show it to others" do what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from themis_core.cli import cli

ROOT = Path(__file__).parents[3]


PAGE = (ROOT / "docs" / "reports.md").read_text("utf-8")


def test_the_commands_on_the_page_run_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "examples" / "quickstart", tmp_path / "examples" / "quickstart")
    shutil.copy(ROOT / "examples" / "quickstart.yaml", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if not line.startswith("themis view")]
    said = {}
    for command in commands:
        done = CliRunner().invoke(cli, shlex.split(command)[1:], prog_name="themis")
        assert done.exit_code == 0, (command, done.output)
        said[command] = done.stdout
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "stats/compare: large is better than small: " in page
    assert (tmp_path / "tables.tex").read_text("utf-8").startswith(r"\begin{table}")
    assert (tmp_path / "scores.csv").read_text("utf-8").startswith("run,slice,model,")
    assert "We evaluated small through replay/file and large through replay/file." in said[commands[-1]]
    (tmp_path / "report.html").unlink()
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "reports.md", "exec"), {})
    assert (tmp_path / "report.html").read_text("utf-8") == page
    assert "| one\\_step | large | direct | accuracy | 0.9000 |" in capsys.readouterr().out
