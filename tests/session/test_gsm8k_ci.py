"""GSM8K's four models as a build sees them: gates, JUnit, Markdown and annotations, by the command and from Python."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from junitparser import Error, Failure, JUnitXml

import themis_core as themis
from themis_core.cli import cli
from themis_plugin_ci.github import as_annotations
from themis_plugin_ci.junit import as_junit
from themis_plugin_ci.markdown import as_markdown

SPEC = Path(__file__).with_name("gsm8k.yaml")
THRESHOLDS = [
    {"score": "accuracy", "minimum": 0.3},  # 286 of 1,319 miss it
    {"score": "accuracy", "measure": "low", "minimum": 0.53, "model_id": "175b_verification"},
    {"score": "accuracy", "measure": "unparsed", "maximum": 0.01},  # 5 of 1,319 at worst
    {"measure": "failed", "maximum": 0.01},
    {"measure": "latency_p95", "maximum": 1},  # what was recorded has none
]
GATES = {
    "run": [],
    "score accuracy, minimum 0.3": [Failure],
    "measure low, score accuracy, model_id 175b_verification, minimum 0.53": [],
    "measure unparsed, score accuracy, maximum 0.01": [],
    "measure failed, maximum 0.01": [],
    "measure latency_p95, maximum 1": [Error],
}
TABLE = """\
| model | value | 95 % interval | n | unparsed |
| --- | --- | --- | --- | --- |
| `175b_finetuning` | 0.3472 | 0.322 to 0.3733 | 1319 | 5 |
| `175b_verification` | 0.5625 | 0.5356 to 0.5891 | 1319 | 1 |
| `6b_finetuning` | 0.2168 | 0.1954 to 0.2399 | 1319 | 4 |
| `6b_verification` | 0.3904 | 0.3645 to 0.4171 | 1319 | 1 |

5276 trials: 5276 answered."""


def overrides(gsm8k: Path, store: Path) -> list[str]:
    return [
        f"project.storage.root_dir={store}",
        f"slices[0].dataset.dataset_id={gsm8k / 'test.jsonl'}",
        *(f"models[{i}].extras.path={gsm8k / 'solutions'}/{{model_id}}.jsonl" for i in range(4)),
        f"thresholds={json.dumps(THRESHOLDS)}",
    ]


@pytest.fixture(scope="module")
def built(gsm8k: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder that a build has after its command, and what that printed."""
    folder = tmp_path_factory.mktemp("build")
    written = [f"--{name}={folder / name}" for name in ("junit", "markdown", "github")]
    changes = [f"--set={each}" for each in overrides(gsm8k, folder / "store")]
    return folder, CliRunner().invoke(cli, ["run", str(SPEC), "--quiet", *changes, *written], prog_name="themis")


def test_the_command_writes_what_a_build_shows(built: tuple[Path, Result]) -> None:
    folder, done = built
    assert done.exit_code == 1
    (suite,) = JUnitXml.fromstring((folder / "junit").read_bytes())
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("gsm8k", 6, 1, 1)
    assert {case.name: [type(each) for each in case.result] for case in suite} == GATES
    summary = (folder / "markdown").read_text("utf-8")
    assert re.match(r"### ❌ `gsm8k-\w+`: 2 of 5 gates not met\n", summary)
    assert TABLE in summary
    assert "- `test · 6b_finetuning · plain · accuracy · text/numeric_match: 0.216831`\n" in summary
    assert (folder / "github").read_text("utf-8").count("::error ") == 3


def test_python_gives_the_same_texts_as_the_command(built: tuple[Path, Result], gsm8k: Path) -> None:
    folder, _ = built
    project = themis.ProjectSpec.model_validate({"storage": {"backend": "sqlite", "root_dir": str(folder / "store")}})
    with themis.open_results(project=project) as results:
        (record,) = results.runs()
        result = results.result(record.run_id)
    texts = {"junit": as_junit(result), "markdown": as_markdown(result), "github": as_annotations(result)}
    assert {name: (folder / name).read_text("utf-8") for name in texts} == texts
    states = {gate.name: (gate.state, gate.compared) for gate in themis.gates_of(result)}
    assert states["score accuracy, minimum 0.3"] == ("missed", "0.216831 at worst")
    assert states["measure unparsed, score accuracy, maximum 0.01"] == ("met", "0.00379075 at worst")
    again = themis.run(SPEC, overrides=overrides(gsm8k, folder / "store"))
    assert (again.exit_code, again.generated, again.thresholds) == (1, 0, result.thresholds)
