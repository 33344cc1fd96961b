"""What the table of cost and latency counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import themis_core as core
from themis_core import GenerationRecorded, ScoreEntry, Store
from themis_plugin_report import calls
from themis_plugin_report.calls import calls_of
from themis_plugin_report.gathering import Gathered, gathered, opened


def counts_of(spec: Path, slices: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, int]:
    """Model to calls, of a run of these slices."""
    told = json.loads(spec.read_text("utf-8"))
    told["project"]["storage"]["root_dir"] = str(folder / "store")
    told["benchmark"]["slices"] = slices
    changed = spec.with_name("calls.json")
    changed.write_text(json.dumps(told), "utf-8")
    run_id = core.run(changed).run_id
    with opened(changed, None) as (results, store):
        made = gathered(results, store, [run_id])
        with closing(made.index):
            return {system.model_id: each.calls for system, each in made.calls.items()}


def slice_of(spec: Path) -> dict[str, Any]:
    (found,) = json.loads(spec.read_text("utf-8"))["benchmark"]["slices"]
    return dict(found)


def test_a_call_that_slices_share_counts_once(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "BATCH", 3)
    common = slice_of(spec)
    assert counts_of(spec, [common, {**common, "slice_id": "again"}], tmp_path) == {"small": 4, "large": 4}


def test_recorded_outputs_are_no_calls(spec: Path, tmp_path: Path) -> None:
    common = slice_of(spec)
    fields = {**common["dataset"]["fields"], "output": "question"}
    recorded = {**common, "dataset": {**common["dataset"], "fields": fields}}
    del recorded["generation"]
    assert counts_of(spec, [recorded], tmp_path) == {}


class _Judged:
    """A store whose scores were each given after a reply of `arbiter`, the same one for all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def score_entries(self, run_id: str, slice_id: str, trial_id: str) -> list[ScoreEntry]:
        found = self._store.score_entries(run_id, slice_id, trial_id)
        return [replace(each, judged_by=("reply",)) for each in found]

    def generation_records(self, keys: Sequence[str]) -> Iterator[GenerationRecorded]:
        known = list(self._store.generation_records([each for each in keys if each != "reply"]))
        yield from known
        if "reply" in keys:
            request = replace(known[0].request, model_id="arbiter", params={"temperature": 0.5}, key="reply")
            yield replace(known[0], key="reply", request=request)


def test_the_calls_of_judging_models_are_counted_each_once(made: tuple[Gathered, Store]) -> None:
    run, store = made[0].runs[0], made[1]
    judged: Any = _Judged(store)
    found = calls_of(judged, made[0].index, [run], ["accuracy/text/exact_match"])
    assert [(each.model_id, each.prompt_variant_id, each.params, told.calls) for each, told in found.items()] == [
        ("large", "plain", "default", 4),
        ("small", "plain", "default", 4),
        ("arbiter", "judge of accuracy/text/exact_match", "temperature=0.5", 1),
    ]
