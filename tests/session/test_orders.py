"""An order carries a run to another process: through JSON, with absolute paths, and with the versions that made it."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import BenchmarkSpec, ProjectSpec, WorkOrder
from themis_core.plugins import Plugins, compose
from themis_core.reading import load_specs

BENCHMARK: dict[str, Any] = {
    "benchmark_id": "b",
    "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "rows.jsonl"}}],
    "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
    "slices": [
        {
            "slice_id": "s",
            "dataset": {"source": "files/inline", "fields": {"id": "q"}, "extras": {"rows": [{"q": "a"}, {"q": "b"}]}},
            "generation": {},
        }
    ],
}


def through_json(order: WorkOrder) -> WorkOrder:
    return WorkOrder.from_dict(json.loads(json.dumps(order.to_dict())))


def ordered(spec: Any, **given: Any) -> WorkOrder:
    return through_json(WorkOrder.of(spec, 2, **given).planned("r", Plugins()))


def test_a_file_its_project_and_all_options_are_read_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(BENCHMARK))
    (tmp_path / "project.json").write_text(json.dumps({"global_seed": 3}))
    monkeypatch.chdir(tmp_path)
    given = {"project": "project.json", "overrides": ["num_samples=2"], "limit": 1, "models": ["m"]}
    order = ordered("spec.json", **given)
    here = load_specs("spec.json", "project.json", ["num_samples=2"], 1, ["m"], None)
    monkeypatch.chdir("/")
    there = order.load()
    assert (there.benchmark, there.project) == (here.benchmark, here.project)
    assert (there.base_dir, there.project_dir) == (tmp_path, tmp_path)


def test_specs_that_were_made_in_python_are_carried_as_data(tmp_path: Path) -> None:
    spec, project = BenchmarkSpec.model_validate(BENCHMARK), ProjectSpec(global_seed=3)
    there = ordered(spec, project=project, base_dir=tmp_path).load()
    here = load_specs(spec, project, (), None, (), tmp_path)
    assert (there.benchmark, there.project, there.base_dir) == (here.benchmark, here.project, tmp_path)


def test_paths_start_at_the_folder_that_a_worker_has(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    order = WorkOrder.of(tmp_path / "in" / "spec.yaml", 1, project=tmp_path / "project.yaml")
    moved = order.within(tmp_path)
    assert (moved.spec, moved.project, moved.base_dir) == ("in/spec.yaml", "project.yaml", ".")
    with pytest.raises(themis.SpecError, match=r"project\.yaml is not in .*in, so it would not be where the workers"):
        order.within(tmp_path / "in")


def test_the_versions_of_python_of_themis_and_of_the_runs_plugins_are_compared(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    spec = BenchmarkSpec.model_validate(BENCHMARK)
    composition = compose(load_specs(spec, None, (), None, (), tmp_path))
    order = through_json(WorkOrder.of(spec, 1).planned("r", composition.plugins))
    names = ["python", "themis-core", "themis-plugin-files", "themis-plugin-replay", "themis-plugin-sqlite"]
    assert sorted(order.environment) == names
    assert order.differences() == []
    other = {**order.environment, "themis-plugin-replay": "9.1", "their-plugin": "2.0", "python": "2.7.1"}
    assert replace(order, environment=other).differences() == [
        f"python is {platform.python_version()}, and 2.7.1 at the driver",
        f"themis-plugin-replay is {order.environment['themis-plugin-replay']}, and 9.1 at the driver",
        "their-plugin is not installed, and 2.0 at the driver",
    ]


def test_an_order_names_the_variables_that_are_set_at_the_driver_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIR_KEY", "sk-0123456789")
    monkeypatch.delenv("THEIR_OTHER_KEY", raising=False)
    order = WorkOrder.of("spec.yaml", 1).planned("r", Plugins(), ["THEIR_KEY", "THEIR_OTHER_KEY"])
    assert order.variables == ("THEIR_KEY",)
    assert "sk-0123456789" not in json.dumps(order.to_dict())


def test_the_store_of_an_order_is_found_where_the_worker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for folder in (tmp_path, there):
        (folder / "spec.json").write_text(json.dumps(BENCHMARK))
    order = through_json(WorkOrder.of(tmp_path / "spec.json", 1))
    assert order.storage()[1] == tmp_path
    monkeypatch.chdir(there)
    backend, folder = order.within(tmp_path).storage()
    (only,) = backend.only_here(folder)
    assert only.folder is not None
    assert only.folder.absolute() == there / ".themis"


def test_a_patch_of_python_is_no_difference() -> None:
    order = WorkOrder.of("spec.yaml", 1)
    patch = platform.python_version().rpartition(".")[0] + ".99"
    assert replace(order, environment={"python": patch}).differences() == []


def test_an_order_of_another_version_is_refused_in_words() -> None:
    with pytest.raises(themis.PluginError, match=r"no order for Themis .* argument 'shape'.*one version"):
        WorkOrder.from_dict({"run_id": "r", "name": "1", "workers": 1, "spec": "s", "shape": 3})
    assert WorkOrder("r", "1-ab", 1, "s").part == "worker 1-ab"
