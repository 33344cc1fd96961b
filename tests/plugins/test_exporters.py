"""Exporters of plugins: what ends one is told by its name, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import PluginError, SpecError

EXPORTER = """
from themis_core import Exporter, SpecError, hookimpl


class Ids(Exporter):
    losses = ("Only ids are kept.",)
    end: str = ""

    def export(self, store, run, summary, folder):
        (folder / "ids.txt").write_text("\\n".join(trial.item_id for trial in store.trial_rows(run.run_id)))
        if self.end:
            raise eval(self.end)
        return [f"{summary['trials']} trials were planned."]


@hookimpl
def themis_register_exporters(register):
    register("ids", Ids)
"""
SPEC = """
project:
  plugins: {mine: ./mine.py, mine_engine: ./mine_engine.py}
  execution_policy: {max_calls: 2, max_in_flight_work_items: 1}
benchmark:
  benchmark_id: short
  models: [{model_id: m, provider: mine_engine/echo}]
  prompt_variants: [{id: p, messages: [{role: user, content: "{{ item.id }}"}]}]
  slices:
    - slice_id: all
      dataset: {source: files/inline, fields: {id: id}, extras: {rows: [{id: a}, {id: b}, {id: c}]}}
      generation: {}
      scores: []
"""
ENGINE = """
from themis_core import Engine, Generation, hookimpl


class Echo(Engine):
    async def generate(self, request):
        return Generation("answered", request.messages[-1]["content"])


@hookimpl
def themis_register_engines(register):
    register("echo", Echo)
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec whose run stops after two of three calls."""
    (tmp_path / "mine.py").write_text(EXPORTER)
    (tmp_path / "mine_engine.py").write_text(ENGINE)
    (tmp_path / "spec.yaml").write_text(SPEC)
    themis.run(tmp_path / "spec.yaml")
    return tmp_path / "spec.yaml"


def export(spec: Path, **config: Any) -> list[str]:
    return themis.export("short", "mine/ids", spec.parent / "out", config, spec=spec)


def test_an_exporter_of_a_loose_file_writes_and_an_unfinished_run_is_told(spec: Path) -> None:
    told = ["The run is not finished: 1 trial is missing.", "Only ids are kept.", "3 trials were planned."]
    assert export(spec) == told
    assert [(path.name, path.read_text()) for path in (spec.parent / "out").iterdir()] == [("ids.txt", "a\nb")]


@pytest.mark.parametrize("end", ["ValueError('planted')", "SystemExit(0)", "StopIteration()"])
def test_an_exporter_that_ends_is_named_and_leaves_nothing(spec: Path, end: str) -> None:
    before = sorted(spec.parent.iterdir())
    with pytest.raises(PluginError, match=f"mine/ids failed at export: {end.partition('(')[0]}"):
        export(spec, end=end)
    assert sorted(spec.parent.iterdir()) == before


def test_what_an_exporter_refuses_is_said_in_its_words(spec: Path) -> None:
    with pytest.raises(SpecError, match=r"^it has no such score$"):
        export(spec, end="SpecError('it has no such score')")
    with pytest.raises(SpecError, match=r"unknown key 'ends'. Did you mean 'end'\?"):
        export(spec, ends="x")
    with pytest.raises(SpecError, match=r"exporter 'mine/idz': plugin 'mine' offers no such exporter. It offers: ids."):
        themis.export("short", "mine/idz", spec.parent / "out", spec=spec)
