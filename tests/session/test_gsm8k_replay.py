"""The main job on real data: four recorded models, published verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

SPEC = Path(__file__).with_name("gsm8k.yaml")
CORRECT = {"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}


@pytest.fixture(scope="module")
def finished(gsm8k: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[themis.RunResult, list[str]]:
    folder = tmp_path_factory.mktemp("gsm8k")
    overrides = [
        f"project.storage.root_dir={folder}",
        f"slices[0].dataset.dataset_id={gsm8k / 'test.jsonl'}",
        *(f"models[{i}].extras.path={gsm8k / 'solutions'}/{{model_id}}.jsonl" for i in range(4)),
    ]
    return themis.run(SPEC, overrides=overrides), overrides


def test_the_counts_are_the_published_ones(finished: tuple[themis.RunResult, list[str]]) -> None:
    result, _ = finished
    assert (result.status, result.trials, result.generated, result.reused, result.failed) == (
        "completed", 5276, 5276, 0, 0,
    )  # fmt: skip
    assert {row.model_id: round((row.value or 0) * row.n) for row in result.scores} == CORRECT
    assert {row.model_id: row.unparsed for row in result.scores} == {
        "6b_finetuning": 4, "6b_verification": 1, "175b_finetuning": 5, "175b_verification": 1,
    }  # fmt: skip
    assert all(row.n == 1319 for row in result.scores)


def test_every_verdict_agrees_with_the_published_one(
    finished: tuple[themis.RunResult, list[str]], solutions: list[dict[str, Any]], tmp_path: Path
) -> None:
    result, overrides = finished
    root = overrides[0].partition("=")[2]
    project = themis.ProjectSpec(storage=themis.StorageConfig(backend="sqlite", root_dir=root))
    published = {(row["model"], row["id"]): row["is_correct"] for row in solutions}
    with themis.open_results(project=project) as results:
        verdicts = {(row.model_id, row.item_id): row.value == 1 for row in results.score_rows(result.run_id)}
    assert len(verdicts) == 5276
    assert verdicts == published


def test_a_second_run_generates_nothing_and_gives_the_same_scores(
    finished: tuple[themis.RunResult, list[str]],
) -> None:
    result, overrides = finished
    again = themis.run(SPEC, overrides=overrides)
    assert (again.run_id, again.generated, again.reused, again.failed) == (result.run_id, 0, 5276, 0)
    assert again.scores == result.scores
    assert again.ledger == result.ledger


def test_the_two_parts_of_the_spec_may_be_two_files(gsm8k: Path, tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('project_name = "two"\n[storage]\nbackend = "sqlite"\nroot_dir = "here"\n')
    benchmark = tmp_path / "bench.yaml"
    text = SPEC.read_text(encoding="utf-8").split("benchmark:\n")[1]
    benchmark.write_text("\n".join(line[2:] for line in text.splitlines()), encoding="utf-8")
    overrides = [
        f"slices[0].dataset.dataset_id={gsm8k / 'test.jsonl'}",
        *(f"models[{i}].extras.path={gsm8k / 'solutions'}/{{model_id}}.jsonl" for i in range(4)),
    ]
    result = themis.run(
        benchmark, project=tmp_path / "project.toml", overrides=overrides, limit=5, models=["6b_finetuning"]
    )
    assert (result.trials, result.generated) == (5, 5)
    assert (tmp_path / "here").is_dir()
