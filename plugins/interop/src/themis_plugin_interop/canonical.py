"""A run in canonical form: one text for equal results, however, wherever and whenever they came about.

What a run came to is in it: its trials in order, with items, requests, answers, usage, cost, extractions and scores.
What depends on the way there is not: times, latencies, attempts, what was reused, the wording of errors, ids and
fingerprints that a provider gave its replies, and the log's numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Any

from themis_core import GenerationRecorded, Item, ScoreEntry, SpecError, Store, TrialRow, canonical_json

__all__ = ["canonical_digest", "canonical_lines"]

_BATCH = 64
"""Trials with their whole texts that are in memory at once."""
_CIRCUMSTANCES = ("latency_s", "attempts", "error", "provider")
_place = attrgetter("slice_id", "model_id", "prompt_variant_id", "params", "item_id", "sample_index")


def canonical_digest(store: Store, run_id: str) -> str:
    """SHA-256 of the run's canonical lines, each with its line feed, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for line in canonical_lines(store, run_id):
        total.update(line.encode("ascii") + b"\n")
    return total.hexdigest()


def canonical_lines(store: Store, run_id: str) -> Iterator[str]:
    """Stream the run as lines of canonical JSON: the run, then each trial that has an outcome.

    Takes the run's whole id. Raises SpecError if the store has no such run.
    """
    run = store.run(run_id)
    if run is None:
        raise SpecError(f"there is no run {run_id!r}: `themis runs` lists what there is")
    yield canonical_json({"kind": "run", "run_id": run.run_id, "status": run.status, "trials": run.trials})
    trials = _ordered(store.trial_rows(run_id))
    while batch := list(islice(trials, _BATCH)):
        yield from _trial_lines(store, batch)


def _ordered(trials: Iterator[TrialRow]) -> Iterator[TrialRow]:
    """Settle the order of trials that the store's own order leaves open."""
    for _, same in groupby(trials, _place):
        yield from sorted(same, key=attrgetter("trial_id"))


def _trial_lines(store: Store, trials: Sequence[TrialRow]) -> Iterator[str]:
    entries = [store.score_entries(each.run_id, each.slice_id, each.trial_id) for each in trials]
    keys = {key for each in trials for key in each.generation_keys}
    keys.update(chain.from_iterable(entry.judged_by for each in entries for entry in each))
    records = {each.key: _record(each) for each in store.generation_records(sorted(keys))}
    items = store.items(sorted({each.item_digest for each in trials}))
    for trial, scored in zip(trials, entries, strict=True):
        yield canonical_json(_trial(trial, items.get(trial.item_digest), scored, records))


def _trial(
    trial: TrialRow, item: Item | None, entries: Sequence[ScoreEntry], records: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    values = asdict(trial)
    del values["finished_at"]
    values["cost"] = _number(trial.cost)
    return {
        "kind": "trial",
        **values,
        "item": None if item is None else asdict(item),
        "turns": [records.get(key) for key in trial.generation_keys],
        "scores": sorted((_score(each, records) for each in entries), key=canonical_json),
    }


def _record(record: GenerationRecorded) -> dict[str, Any]:
    generation = record.generation.to_dict()
    kept = {name: value for name, value in generation.items() if name not in _CIRCUMSTANCES}
    if "cost" in kept:
        kept["cost"] = _number(record.generation.cost)
    asked = asdict(record.request)
    if not record.request.item:  # so that requests without it are written as they always were
        del asked["item"]
    return {"key": record.key, "request": asked, "generation": kept}


def _score(entry: ScoreEntry, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    values = asdict(entry)
    del values["new"]
    values["result"]["value"] = _number(entry.result.value)
    values["result"]["parts"] = [_number(each) for each in entry.result.parts]
    values["judged"] = [records.get(key) for key in entry.judged_by]
    return values


def _number(value: float | None) -> float | None:
    # Some databases give 1 for what others give 1.0.
    return None if value is None else float(value)
