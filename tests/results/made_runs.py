"""Runs that are made by hand, so that every number of their groups is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from themis_core import Extraction, Item, ItemRecorded, Results, RunStarted, Score, ScoreEntry, StorageBackend
from themis_core.testing.events import AT, key_of, run_finished, trial_finished

__all__ = ["Trial", "opened", "scorer"]

Trial = dict[str, Any]
"""`value` (None: unscored, "failed": no answer), and what differs from the defaults of `_event`."""


def scorer(slice_id: str, **more: Any) -> dict[str, Any]:
    names = {"slice_id": slice_id, "score": "accuracy", "metric": "match", "kind": "metric", "component": "text/x"}
    scale = {"config": {}, "aggregates_mean": True, "lowest": 0.0, "highest": 1.0, "higher_is_better": True}
    return {**names, **scale, "denominator": "scored", "max_unparsed": 0.5, **more}


def opened(
    storage: StorageBackend,
    folder: Path,
    trials: Sequence[Trial],
    *,
    scorers: Iterable[dict[str, Any]] | None = None,
    planned: int | None = None,
    metadata: Sequence[str] = (),
    **manifest: Any,
) -> Results:
    """Store a run named `run` and open it."""
    slices = list(dict.fromkeys(each.get("slice", "s") for each in trials))
    dataset = {"source": "files/jsonl", "dataset_id": "d.jsonl", "fields": {"output": "o", "metadata": list(metadata)}}
    dimensions = manifest.get("dimensions", {})
    benchmark = {
        "benchmark_id": "made",
        "slices": [{"slice_id": each, "dataset": dataset, "dimensions": dimensions.get(each, {})} for each in slices],
        "prompt_variants": manifest.pop("prompt_variants", []),
    }
    made = {
        "benchmark": benchmark,
        "spec_digest": "d",
        "trials": len(trials) if planned is None else planned,
        "scorers": list(scorers) if scorers is not None else [scorer(each) for each in slices],
        "dimensions": {},
        "thresholds": [],
        **manifest,
    }
    store = storage.open(folder)
    store.append([RunStarted("run", AT, made)])
    items = {each.get("item", "1"): each.get("metadata", {}) for each in trials}
    store.append([ItemRecorded(Item(name, {}, None, kept, digest=key_of(name))) for name, kept in items.items()])
    store.append([_event(each, number) for number, each in enumerate(trials)])
    store.append([run_finished()])
    store.close()
    return Results(storage, folder)


def _event(trial: Trial, number: int) -> Any:
    value, item = trial["value"], trial.get("item", "1")
    failed = value == "failed"
    result = Score(value) if isinstance(value, float) else Score(None, trial.get("reason", "too_long"))
    extraction = Extraction(trial.get("found", "x")) if trial.get("parsed", True) else Extraction(None, "no_match")
    key = key_of(f"score {number}")
    metric, parse = trial.get("metric", "match"), trial.get("parse", "number")
    return trial_finished(
        item,
        item_digest=key_of(item),
        trial_id=key_of(f"trial {number}"),
        slice_id=trial.get("slice", "s"),
        model_id=trial.get("model", "m"),
        prompt_variant_id=trial.get("prompt", "plain"),
        params=trial.get("params", "default"),
        sample_index=trial.get("sample", 0),
        outcome="failed" if failed else "answered",
        error_code="timeout" if failed else None,
        scores=() if failed else (ScoreEntry("accuracy", metric, key, result, parse, extraction if parse else None),),
    )
