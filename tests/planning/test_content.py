"""What an engine has only a digest of is looked through before the first call, and not of a run that is complete."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import themis_core as themis

PLUGIN = """
from pathlib import Path

from themis_core import Capabilities, Engine, Generation, SpecError, hookimpl

PLACE = Path(__file__)


class Recorded(Engine):
    capabilities = Capabilities(local=True)
    name: str = ""

    def check_content(self):
        with PLACE.with_suffix(".log").open("a") as log:
            log.write(self.name)
        if PLACE.with_name("bad.txt").exists():
            raise SpecError("the row has no output", path=str(PLACE.with_name("bad.txt")), line=3)
        if self.name == "wrong":
            raise ValueError("it holds nothing: record something")
        if self.name == "broken":
            raise RuntimeError("my own mistake")

    async def generate(self, request):
        with PLACE.with_suffix(".log").open("a") as log:
            log.write("!")
        return Generation("answered", text="1")


@hookimpl
def themis_register_engines(register):
    register("recorded", Recorded)
"""


def written(folder: Path, *names: str) -> Path:
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    models = [
        {"model_id": f"m{number}", "provider": "mine/recorded", "extras": {"name": name}}
        for number, name in enumerate(names)
    ]
    dataset = {"source": "files/inline", "fields": {"reference": "g"}, "extras": {"rows": [{"id": "a", "g": "1"}]}}
    scores = [{"name": "says", "metrics": ["text/exact_match"]}]
    benchmark = {
        "benchmark_id": "b",
        "models": models,
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "?"}]}],
        "slices": [{"slice_id": "s", "dataset": dataset, "generation": {}, "scores": scores}],
    }
    project = {"project_name": "p", "plugins": {"mine": "mine.py"}}
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({"project": project, "benchmark": benchmark}, sort_keys=False), encoding="utf-8")
    return path


def log(folder: Path) -> str:
    return (folder / "mine.log").read_text("utf-8")


def test_each_engine_looks_once_before_the_first_call_and_not_if_the_run_is_complete(tmp_path: Path) -> None:
    path = written(tmp_path, "a", "a", "b")
    themis.plan(path)
    assert log(tmp_path) == "ab"
    assert themis.run(path).status == "completed"
    assert log(tmp_path) == "abab!!!"
    assert themis.run(path).status == "completed"
    themis.plan(path)
    assert log(tmp_path) == "abab!!!"


def test_what_is_wrong_is_told_with_its_place_and_nothing_is_stored(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").touch()
    with pytest.raises(themis.SpecError) as caught:
        themis.run(written(tmp_path, "a", "b"))
    assert str(caught.value) == f"{tmp_path}/bad.txt:3: the row has no output"
    assert log(tmp_path) == "a"
    assert not (tmp_path / ".themis").exists()


def test_a_value_error_gets_the_models_name_and_any_other_is_the_plugins_mistake(tmp_path: Path) -> None:
    with pytest.raises(themis.SpecError, match="model 'm0': engine 'mine/recorded': it holds nothing: record somethi"):
        themis.plan(written(tmp_path, "wrong"))
    with pytest.raises(themis.PluginError, match=r"mine/recorded.*check_content.*my own mistake"):
        themis.plan(written(tmp_path, "broken"))
