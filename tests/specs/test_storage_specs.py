"""Storage as a mapping, as `StorageConfig` and as the typed class of a plugin: one spec, however it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel, Field, ValidationError

import themis_core as themis
from themis_core.cli import cli
from themis_core.testing.memory import MemoryStorage
from themis_plugin_postgres import PostgresBlobStorageSpec
from themis_plugin_sqlite import SqliteBlobStorageSpec


class Limits(BaseModel):
    rows: int = 10
    kinds: list[str] = []


class ThirdParty(MemoryStorage):
    """A stranger's backend: fields of every shape."""

    backend: ClassVar[str] = "vault/cold"
    folder: Path = Path("cold")
    where: str = Field("here", alias="region")
    limits: Limits = Limits()


class InHouse(SqliteBlobStorageSpec):
    """A subclass that presets what a team wants."""

    synchronous: Literal["FULL", "NORMAL"] = "NORMAL"


class Unnamed(MemoryStorage):
    backend: ClassVar[str] = ""


SAME: list[tuple[Any, dict[str, Any]]] = [
    (SqliteBlobStorageSpec(), {"backend": "sqlite"}),
    (SqliteBlobStorageSpec(root_dir="runs"), {"backend": "sqlite", "root_dir": "runs"}),
    # What was given stays, also where it is the default.
    (SqliteBlobStorageSpec(root_dir=".themis"), {"backend": "sqlite", "root_dir": ".themis"}),
    (
        PostgresBlobStorageSpec(schema_name="lab", lease_s=5),
        {"backend": "postgres", "schema_name": "lab", "lease_s": 5.0},
    ),
    (InHouse(root_dir="a"), {"backend": "sqlite", "root_dir": "a"}),
    (ThirdParty(folder=Path("x/y")), {"backend": "vault/cold", "folder": "x/y"}),
    (ThirdParty(region="north"), {"backend": "vault/cold", "region": "north"}),
    (
        ThirdParty(limits=Limits(kinds=["a"]), name="n"),
        {"backend": "vault/cold", "limits": {"kinds": ["a"]}, "name": "n"},
    ),
    (themis.StorageConfig(backend="sqlite", root_dir="r"), {"backend": "sqlite", "root_dir": "r"}),  # type: ignore[call-arg]
]


@pytest.mark.parametrize(("typed", "plain"), SAME, ids=str)
def test_a_typed_storage_is_the_mapping_that_a_file_would_hold(typed: Any, plain: dict[str, Any]) -> None:
    by_class, by_mapping = themis.ProjectSpec(storage=typed), themis.ProjectSpec.model_validate({"storage": plain})
    assert by_class == by_mapping
    assert by_class.canonical() == by_mapping.canonical()
    assert by_class.digest() == by_mapping.digest()
    assert by_class.model_dump()["storage"] == plain
    assert themis.ProjectSpec.model_validate_json(by_class.model_dump_json()) == by_class
    assert themis.ProjectSpec.model_validate(yaml.safe_load(yaml.safe_dump(by_class.canonical()))) == by_class
    assert themis.StorageConfig.model_validate(typed) == themis.StorageConfig.model_validate(plain)


@pytest.mark.parametrize("wrong", [Unnamed(), Limits()])
def test_a_class_that_names_no_backend_is_refused_with_what_to_do(wrong: Any) -> None:
    with pytest.raises(ValidationError, match=r"does not say which backend it configures: give the class"):
        themis.ProjectSpec(storage=wrong)


BENCHMARK = {
    "benchmark_id": "tiny",
    "slices": [
        {
            "slice_id": "s",
            "dataset": {
                "source": "files/inline",
                "extras": {"rows": [{"id": "1", "output": "a", "reference": "a"}]},
                "fields": {"reference": "reference", "output": "output"},
            },
            "scores": [{"name": "exact", "metrics": ["text/exact_match"]}],
        }
    ],
}
VAULT = '''
from typing import ClassVar

from themis_core import hookimpl
from themis_plugin_sqlite import SqliteBlobStorageSpec


class ColdStorageSpec(SqliteBlobStorageSpec):
    """A store of somebody else's."""

    backend: ClassVar[str] = "vault"
    shelf: int = 1


@hookimpl
def themis_register_storage_backends(register):
    register("cold", ColdStorageSpec)
'''


def test_a_run_is_the_same_whichever_way_its_storage_was_written(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        yaml.safe_dump({"project": {"storage": {"backend": "sqlite", "root_dir": "st"}}, "benchmark": BENCHMARK})
    )
    first = themis.run(tmp_path / "spec.yaml")
    typed = themis.ProjectSpec(storage=SqliteBlobStorageSpec(root_dir="st"))
    second = themis.run(themis.BenchmarkSpec.model_validate(BENCHMARK), project=typed, base_dir=tmp_path)
    assert (second.run_id, second.generated, second.reused) == (first.run_id, 0, 1)
    with themis.open_results(project=typed, base_dir=tmp_path) as results:
        [record] = results.runs()
    assert record.manifest["project"] == typed.canonical()


def test_a_loose_files_storage_class_is_taken_in_python(tmp_path: Path) -> None:
    (tmp_path / "vault.py").write_text(VAULT)
    namespace: dict[str, Any] = {}
    exec(VAULT, namespace)
    typed = themis.ProjectSpec(
        plugins={"vault": "vault.py"}, storage=namespace["ColdStorageSpec"](root_dir="st", shelf=3)
    )
    result = themis.run(themis.BenchmarkSpec.model_validate(BENCHMARK), project=typed, base_dir=tmp_path)
    assert result.status == "completed"
    assert (tmp_path / "st" / "themis.sqlite3").is_file()


@pytest.mark.parametrize(
    ("storage", "line", "message"),
    [
        ("backend: sqlite\n    root_dri: x", 4, "root_dir"),
        ("backend: sqlite/blob\n    busy_timeout_s: soon", 4, "busy_timeout_s"),
        ("backend: sqlite\n    root_dir: x\n    synchronous: MAYBE", 5, "synchronous"),
        ("backend: postgres\n    lease_s: 0", 4, "lease_s"),
        ("backend: sqlit", 3, "sqlit"),
        ("root_dir: x", 2, "backend"),
    ],
)
def test_a_wrong_field_is_told_with_file_and_line(tmp_path: Path, storage: str, line: int, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"project:\n  storage:\n    {storage}\n{yaml.safe_dump({'benchmark': BENCHMARK})}")
    with pytest.raises(themis.SpecError, match=message) as found:
        themis.plan(path)
    assert str(found.value).startswith(f"{path}:{line}: storage")


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["schema"])
    schema: dict[str, Any] = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


@pytest.mark.parametrize(
    ("storage", "valid"),
    [
        ({"backend": "sqlite", "root_dir": "x"}, True),
        ({"backend": "sqlite/blob", "synchronous": "NORMAL"}, True),
        ({"backend": "postgres", "schema_name": "lab", "url": None}, True),
        ({"backend": "mine", "anything": [1]}, True),  # of a loose file, which no schema can know
        ({"backend": "sqlite", "root_dri": "x"}, False),
        ({"backend": "sqlite", "root_dir": 7}, False),
        ({"backend": "sqlite/blob", "synchronous": "MAYBE"}, False),
        ({"backend": "sqlite", "schema_name": "lab"}, False),
        ({"backend": "postgres", "lease_s": 0}, False),
        ({"root_dir": "x"}, False),
        ({"backend": ""}, False),
    ],
)
def test_the_json_schema_knows_the_storage_specs_of_installed_plugins(
    printed: dict[str, Any], storage: dict[str, Any], valid: bool
) -> None:
    spec = {"benchmark": BENCHMARK, "project": {"storage": storage}}
    assert jsonschema.Draft202012Validator(printed).is_valid(spec) is valid


@pytest.mark.parametrize(
    ("project", "benchmark", "valid"),
    [
        ({}, {"models": [{"model_id": "ours", "model": "llama", "provider": "openai/chat"}]}, True),
        ({}, {"models": [{"model_id": "ours", "model": "", "provider": "openai/chat"}]}, False),
        ({}, {"inference_grid": {"overrides": {"extra_body.top_k": [20], "extras.effort": ["low"]}}}, True),
        ({}, {"inference_grid": {"overrides": {"extra_body.top_k": 20}}}, False),
        ({}, {"inference_grid": {"overrides": {"temperature": [0], "response_format.type": ["text"]}}}, True),
        ({}, {"inference_grid": {"overrides": {"extra_body.a.b_c": [1], "extras": [{}]}}}, True),
        ({}, {"inference_grid": {"overrides": {"temprature": [0]}}}, False),
        ({}, {"inference_grid": {"overrides": {"extra_bdy.top_k": [20]}}}, False),
        ({}, {"inference_grid": {"overrides": {"extra_body.": [20]}}}, False),
        ({}, {"inference_grid": {"overrides": {"temperature.x": [20]}}}, False),
        ({"plugins": {"mine": {"path": "engine.py", "identity": "version"}}}, {}, True),
        ({"plugins": {"mine": {"path": "engine.py", "identity": "never"}}}, {}, False),
    ],
)
def test_the_json_schema_knows_labels_sweeps_and_identities(
    printed: dict[str, Any], project: dict[str, Any], benchmark: dict[str, Any], valid: bool
) -> None:
    spec = {"benchmark": {**BENCHMARK, **benchmark}, "project": project}
    assert jsonschema.Draft202012Validator(printed).is_valid(spec) is valid
