"""Requests that an engine can't send are refused in the plan, by what its `check_request` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis

PLUGIN = """
from pathlib import Path

from themis_core import Capabilities, Engine, Generation, hookimpl


class Picky(Engine):
    capabilities = Capabilities(images=True)
    refuses: str = "never"
    breaks: bool = False

    def check_request(self, request):
        with Path(__file__).with_suffix(".log").open("a") as log:
            log.write(f"{request.item_id} {request.params.get('max_tokens')}\\n")
        if self.breaks:
            raise RuntimeError("my own mistake")
        if any(self.refuses in each["content"] for each in request.messages):
            raise ValueError(f"it never sends {self.refuses}: take it out")
        request.messages.clear()

    async def generate(self, request):
        return Generation("answered", text=str(len(request.messages)))


@hookimpl
def themis_register_engines(register):
    register("picky", Picky)
"""
IMAGE = {"type": "image_url", "image_url": "data:image/png;base64,iVBORw0KGgo="}


def written(folder: Path, content: Any = "{{ item.q }}", **extras: Any) -> Path:
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    rows = [{"id": "a", "q": "1+1?", "gold": "1"}, {"id": "b", "q": "1+2?", "gold": "1"}]
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "mine/picky", "extras": extras}],
        "inference_grid": {"params": [{"max_tokens": 8}, {"max_tokens": 9}]},
        "prompt_variants": [{"id": "asked", "messages": [{"role": "user", "content": content}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/inline", "fields": {"reference": "gold"}, "extras": {"rows": rows}},
                "generation": {"num_samples": 2},
                "scores": [{"name": "says", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    project = {"project_name": "p", "plugins": {"mine": "mine.py"}}
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({"project": project, "benchmark": benchmark}, sort_keys=False), encoding="utf-8")
    return path


def tried(folder: Path) -> list[str]:
    log = folder / "mine.log"
    return log.read_text("utf-8").splitlines() if log.exists() else []


def test_a_refusal_names_model_variant_and_place_and_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path, refuses="1+1")
    line = path.read_text("utf-8").splitlines().index("    generation:") + 1
    with pytest.raises(themis.SpecError) as caught:
        themis.plan(path)
    said = str(caught.value)
    assert f"spec.yaml:{line}: slices[0].generation: model 'm': engine 'mine/picky'" in said
    assert said.endswith("can't be sent prompt variant 'asked': it never sends 1+1: take it out")


def test_each_setting_is_tried_once_with_the_first_item(tmp_path: Path) -> None:
    themis.plan(written(tmp_path))
    assert tried(tmp_path) == ["a 8", "a 9"]


def test_what_an_engine_does_to_what_it_looks_at_is_not_sent(tmp_path: Path) -> None:
    result = themis.run(written(tmp_path))
    assert [row.value for row in result.scores] == [1.0, 1.0]


def test_messages_with_other_parts_than_text_are_not_tried(tmp_path: Path) -> None:
    themis.plan(written(tmp_path, [IMAGE, {"type": "text", "text": "{{ item.q }}"}]))
    assert tried(tmp_path) == []


def test_a_check_that_breaks_is_the_plugins_mistake(tmp_path: Path) -> None:
    with pytest.raises(themis.PluginError, match=r"mine/picky.*check_request.*my own mistake"):
        themis.plan(written(tmp_path, breaks=True))
