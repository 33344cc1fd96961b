"""What `--set` changes, and whom a mistake in it is blamed on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from themis_core import BenchmarkSpec, ProjectSpec, SpecError
from themis_core.reading import load_specs

BENCHMARK = {
    "benchmark_id": "capitals",
    "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "answers.jsonl"}}],
    "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}?"}]}],
    "slices": [
        {
            "slice_id": "test",
            "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl"},
            "generation": {},
            "scores": [{"name": "accuracy", "metrics": ["text/exact_match"]}],
        }
    ],
}


def write(folder: Path, *, project: dict[str, object] | None = None, **changes: object) -> Path:
    spec = folder / "capitals.yaml"
    parts = {"benchmark": {**BENCHMARK, **changes}, **({"project": project} if project is not None else {})}
    spec.write_text(yaml.safe_dump(parts))
    return spec


def mistake(spec: Path | BenchmarkSpec, *overrides: str, project: Path | ProjectSpec | None = None) -> str:
    with pytest.raises(SpecError) as raised:
        load_specs(spec, project, overrides, None, (), None)
    return str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "num_samples=many",
            ("--set num_samples: num_samples: should be a whole number (found: 'many')"),
        ),
        (
            "slices[0].dataset.sorce=files/csv",
            "--set slices[0].dataset.sorce: slices[0].dataset.sorce: unknown key 'sorce'. Did you mean 'source'?",
        ),
        (
            "slices.0.dataset.split=[5]",  # an index in the other form
            "--set slices.0.dataset.split: slices[0].dataset.split: should be text (found: [5])",
        ),
        (
            "inference_grids.params=[]",  # a whole branch of the spec that only the option made
            (
                "--set inference_grids.params: inference_grids: unknown key 'inference_grids'. "
                "Did you mean 'inference_grid'?"
            ),
        ),
        (
            "benchmark.models[7].model_id=x",
            "--set benchmark.models[7].model_id: benchmark.models is a list without an element 7 (there are: 0 to 0)",
        ),
        (
            "project.global_seed=x",
            ("--set project.global_seed: global_seed: should be a whole number (found: 'x')"),
        ),
        (
            "execution_policy.max_cost=1",
            (
                "--set execution_policy.max_cost: 'execution_policy' is a setting of the project. "
                "Did you mean `--set project.execution_policy.max_cost`?"
            ),
        ),
        ("num_samples", "--set num_samples: write it as path=value, such as benchmark.num_samples=3"),
        (
            "a..b=1",
            "--set a..b: 'benchmark.a..b' is not a path such as benchmark.slices[0].dataset_query.count",
        ),
    ],
)
@pytest.mark.parametrize("form", ["one file", "benchmark alone", "Python"])
def test_a_mistake_is_blamed_on_the_option_and_not_on_the_file(
    tmp_path: Path, form: str, override: str, message: str
) -> None:
    spec: Path | BenchmarkSpec = write(tmp_path, project={"project_name": "p"})
    if form == "benchmark alone":
        (tmp_path / "capitals.yaml").write_text(yaml.safe_dump(BENCHMARK))
    elif form == "Python":
        spec = BenchmarkSpec.model_validate(BENCHMARK)
    assert mistake(spec, override) == message


@pytest.mark.parametrize("override", ["metadata.note=x", "slices[0].dataset.split=train"])
def test_a_mistake_of_the_file_is_the_files_whatever_is_set_beside_it(tmp_path: Path, override: str) -> None:
    spec = write(tmp_path, num_samples="many")
    assert mistake(spec, override).startswith(f"{spec}:8: num_samples: should be a whole number")


def test_a_value_that_is_set_is_not_repeated_where_passwords_stand(tmp_path: Path) -> None:
    told = mistake(write(tmp_path), "models[0].extras=SECRET", "project.storage=SECRET")
    assert "SECRET" not in told


@pytest.mark.parametrize("form", ["inline", "file", "file with a key", "none", "Python"])
def test_the_project_can_be_set_wherever_it_stands(tmp_path: Path, form: str) -> None:
    inline = {"project_name": "maths", "global_seed": 1} if form == "inline" else None
    spec, file = write(tmp_path, project=inline), tmp_path / "project.yaml"
    settings = {"project_name": "maths", "global_seed": 1}
    file.write_text(yaml.safe_dump({"project": settings} if form == "file with a key" else settings))
    projects: dict[str, Path | ProjectSpec | None] = {"Python": ProjectSpec.model_validate(settings), "none": None}
    project = projects.get(form, None if inline else file)
    loaded = load_specs(spec, project, ["project.global_seed=8"], None, (), None)
    name = ProjectSpec().project_name if form == "none" else "maths"
    assert (loaded.project.project_name, loaded.project.global_seed) == (name, 8)
    assert mistake(spec, "project.global_seed=x", project=project).startswith("--set project.global_seed: global_seed:")
