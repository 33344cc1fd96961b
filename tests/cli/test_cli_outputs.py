"""Files that `themis run` and `themis show run` write of a result, in forms that installed plugins declare."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import themis_core
from themis_core.cli import cli

FORMS = """
    def brief(result):
        return f"{result.status} {result.scores[0].value}\\n"

    def broken(result):
        raise ValueError("planted")

    value = 3
"""


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in args], prog_name="themis")


def install(folder: Path, declared: str, distribution: str = "themis-plugin-forms") -> None:
    """Install a plugin as pip would leave it: a module, and metadata that declare its outputs."""
    module = f"forms_{folder.name}".replace("-", "_")
    (folder / f"{module}.py").write_text(textwrap.dedent(FORMS), "utf-8")
    info = folder / f"{distribution.replace('-', '_')}-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[themis.outputs]\n{declared.replace('MODULE', module)}\n", "utf-8")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "brief = MODULE:brief\nbroken = MODULE:broken\nvalue = MODULE:value\nset = MODULE:brief\n")
    rows = [{"id": "a", "gold": "x", "said": "x"}, {"id": "b", "gold": "x", "said": "y"}]
    only = {
        "slice_id": "s",
        "dataset": {
            "source": "files/inline",
            "fields": {"id": "id", "reference": "gold", "output": "said"},
            "extras": {"rows": rows},
        },
        "scores": [{"name": "own", "metrics": ["text/exact_match"]}],
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"benchmark": {"benchmark_id": "b", "slices": [only]}}), "utf-8")
    return path


def test_a_declared_output_is_an_option_that_writes_the_result_to_a_file(spec: Path, tmp_path: Path) -> None:
    help_text = " ".join(themis("run", "--help").stdout.split())
    assert "--brief FILE Also write the result as `brief` to FILE" in help_text
    assert "From themis-plugin-forms 2.5." in help_text
    ran = themis("run", spec, "--quiet", "--brief", tmp_path / "ran.txt", "--format", "json")
    run_id = json.loads(ran.stdout)["run_id"]
    shown = themis("show", "run", run_id, "--spec", spec, "--brief", tmp_path / "shown.txt")
    assert (ran.exit_code, shown.exit_code) == (0, 0)
    assert [(tmp_path / f"{name}.txt").read_text() for name in ("ran", "shown")] == ["completed 0.5\n"] * 2


def test_a_dash_is_standard_output_unless_that_has_the_json(spec: Path) -> None:
    assert themis("run", spec, "--quiet", "--brief", "-").stdout.splitlines()[-1] == "completed 0.5"
    done = themis("run", spec, "--brief", "-", "--format", "json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--brief -: standard output has the JSON already; name a file" in done.stderr


def test_an_option_of_the_command_is_not_taken_by_an_output_of_its_name(spec: Path) -> None:
    assert themis("run", spec, "--quiet", "--set", "num_samples=1").exit_code == 0


@pytest.mark.parametrize(
    ("option", "file", "exit_code", "told", "ran"),
    [
        ("--brief", "no/such/folder.txt", 2, "there is no folder", False),
        ("--value", "v.txt", 3, "output 'value' (themis-plugin-forms 2.5): its entry point, ", False),
        ("--broken", "v.txt", 3, "ValueError: planted", True),
        ("--brief", ".", 2, "is a directory", False),
    ],
)
def test_an_output_that_can_not_be_written_is_told_before_the_run_where_that_can_be_known(
    spec: Path, tmp_path: Path, option: str, file: str, exit_code: int, told: str, ran: bool
) -> None:
    done = themis("run", spec, "--quiet", option, tmp_path / file)
    assert (done.exit_code, told in done.stderr) == (exit_code, True), done.stderr
    assert (tmp_path / ".themis").exists() is ran
    assert not (tmp_path / "v.txt").exists()


def test_a_file_that_can_not_be_written_after_the_run_is_exit_74_and_the_result_is_printed_and_stored(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    done = themis("run", spec, "--quiet", "--brief", tmp_path / "brief.txt")
    assert done.exit_code == 74
    assert "brief.txt: No space left on device. All that was done is stored." in done.stderr
    assert "2 trials (2 answered)" in done.stdout
    with themis_core.open_results(spec) as results:
        assert [record.status for record in results.runs()] == ["completed"]


def test_an_output_that_fails_keeps_no_other_from_being_written(spec: Path, tmp_path: Path) -> None:
    install(tmp_path, "later = MODULE:brief", "themis-plugin-more")
    files = [f"--{name}={tmp_path / name}" for name in ("brief", "broken", "later")]
    done = themis("run", spec, "--quiet", *files)
    assert (done.exit_code, "ValueError: planted" in done.stderr) == (3, True)
    assert [(tmp_path / name).exists() for name in ("brief", "broken", "later")] == [True, False, True]


def test_an_output_that_two_distributions_declare_is_a_conflict_that_names_both(spec: Path, tmp_path: Path) -> None:
    install(tmp_path, "brief = MODULE:brief", "themis-plugin-other")
    done = themis("run", spec, "--quiet", "--brief", tmp_path / "brief.txt")
    assert done.exit_code == 3
    assert "output 'brief': claimed by themis-plugin-forms 2.5 and themis-plugin-other 2.5" in done.stderr


def test_what_is_printed_as_json_has_the_exit_code(spec: Path) -> None:
    thresholds: Any = json.dumps([{"score": "own", "minimum": 0.9}])
    done = themis("run", spec, "--quiet", "--format", "json", "--set", f"thresholds={thresholds}")
    assert (done.exit_code, json.loads(done.stdout)["exit_code"]) == (1, 1)
