"""The example specs are valid, and there is one for every dataset loader that ships with Themis."""

from __future__ import annotations

from pathlib import Path

import pytest

from themis_core import BenchmarkSpec, ProjectSpec, plan
from themis_core.reading import read_spec

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
OFFLINE = [
    *(EXAMPLES / name for name in ("quickstart.yaml", "quickstart/arithmetic.yaml", "code.yaml")),
    *sorted((EXAMPLES / "datasets").glob("*.yaml")),
]


def read_benchmark(path: Path) -> BenchmarkSpec:
    data = read_spec(path).data  # a file that holds a benchmark alone may leave out its key
    return BenchmarkSpec.model_validate(data.get("benchmark", data))


@pytest.mark.parametrize("path", OFFLINE, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_is_a_valid_spec_whose_files_are_there(path: Path) -> None:
    benchmark = read_benchmark(path)
    ProjectSpec.model_validate(read_spec(path).data.get("project", {}))
    named = [each.dataset.dataset_id for each in benchmark.slices if each.dataset.dataset_id]
    named += [str(model.extras["path"]) for model in benchmark.models]
    assert [name for name in named if not any(path.parent.glob(name))] == []


def test_every_dataset_loader_has_an_example() -> None:
    sources = {each.dataset.source for path in OFFLINE for each in read_benchmark(path).slices}
    assert sources == {
        "files/csv",
        "files/inline",
        "files/json",
        "files/jsonl",
        "files/parquet",
        "huggingface/hub",
    }


@pytest.mark.parametrize(
    ("name", "labels", "calls"),
    [("local_server.yaml", ["my-model"], 40), ("two_servers.yaml", ["llama on ours", "llama on theirs"], 160)],
)
def test_an_example_for_a_server_can_be_planned(name: str, labels: list[str], calls: int, tmp_path: Path) -> None:
    report = plan(EXAMPLES / name, overrides=[f"project.storage.root_dir={tmp_path}"])
    assert ([row["model_id"] for row in report.per_model], report.to_call) == (labels, calls)
