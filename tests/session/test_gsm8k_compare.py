"""GSM8K's four models compared: six pairs, corrected by Holm, each by the command and from Python."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scipy.stats import binomtest

import themis_core as themis
from themis_core.cli import cli
from themis_plugin_stats import compare

SPEC = Path(__file__).with_name("gsm8k.yaml")
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


@pytest.fixture(scope="module")
def project(gsm8k: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The project file of a store, and the run in it."""
    folder = tmp_path_factory.mktemp("gsm8k")
    overrides = [
        f"project.storage.root_dir={folder}",
        f"slices[0].dataset.dataset_id={gsm8k / 'test.jsonl'}",
        *(f"models[{i}].extras.path={gsm8k / 'solutions'}/{{model_id}}.jsonl" for i in range(4)),
    ]
    run_id = themis.run(SPEC, overrides=overrides).run_id
    file = folder / "project.json"
    file.write_text(json.dumps({"storage": {"backend": "sqlite", "root_dir": str(folder)}}))
    return file, run_id


def test_six_comparisons_with_holm(project: tuple[Path, str], solutions: list[dict[str, Any]]) -> None:
    file, run_id = project
    found = compare(run_id, project=file)
    right = {model: {row["id"] for row in solutions if row["model"] == model and row["is_correct"]} for model in MODELS}
    assert [(each.a, each.b, each.n, each.won, each.lost) for each in found.pairs] == [
        (a, b, 1319, len(right[b] - right[a]), len(right[a] - right[b])) for a, b in combinations(MODELS, 2)
    ]
    assert [each.p_value for each in found.pairs] == [
        pytest.approx(binomtest(each.won, each.won + each.lost).pvalue) for each in found.pairs
    ]
    assert [each.verdict for each in found.pairs] == ["better", "better", "better", "worse", "better", "better"]
    assert [each.method for each in found.pairs] == ["exact McNemar"] * 6
    ordered = sorted(found.pairs, key=lambda each: each.p_value)
    left = [each.p_value * (6 - place) for place, each in enumerate(ordered)]
    assert [each.p_corrected for each in ordered] == pytest.approx([max(left[: i + 1]) for i in range(6)])
    assert found.groups == [["175b_verification"], ["6b_verification"], ["175b_finetuning"], ["6b_finetuning"]]
    assert found.verdict == (
        "175b_verification is better than each of the others in accuracy/text/numeric_match; "
        "6 of 6 pairs can be told apart."
    )


def test_the_command_prints_what_python_returns(project: tuple[Path, str]) -> None:
    file, run_id = project
    done = CliRunner().invoke(cli, ["compare", run_id, "--project", str(file), "--format", "json"])
    assert (done.exit_code, json.loads(done.stdout)) == (
        0,
        json.loads(json.dumps(compare(run_id, project=file).to_dict())),
    )
    text = CliRunner().invoke(cli, ["compare", run_id, "--project", str(file)]).stdout
    assert text.startswith("175b_verification is better than each of the others")
