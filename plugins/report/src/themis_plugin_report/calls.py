"""What the calls of runs took: those of the models under test, of simulated users and of judging models."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from themis_core import SIMULATED_USER, Generation, RunCost, RunRecord, Store
from themis_plugin_report.index import Call, Index, System

__all__ = ["Calls", "calls_of"]

BATCH = 500


@dataclass(slots=True)
class Calls:
    """What the calls of one system took."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: RunCost = field(default_factory=RunCost)
    seconds: array[float] = field(default_factory=lambda: array("d"))
    """Of each call that was measured."""

    def quantile(self, share: float) -> float | None:
        """The least number of seconds in which this share of the calls was answered; None if none was measured."""
        if not self.seconds:
            return None
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    def add(self, answer: Generation) -> None:
        self.calls += 1
        self.input_tokens += answer.usage.input_tokens or 0
        self.output_tokens += answer.usage.output_tokens or 0
        self.cost += RunCost.of(answer)
        if answer.latency_s is not None:
            self.seconds.append(answer.latency_s)


def calls_of(store: Store, index: Index, runs: Sequence[RunRecord], judges: Sequence[str]) -> dict[System, Calls]:
    """What each system's calls took, then each simulated user's and judging model's; a generation counts once in a run,
    whoever shares it.

    `judges` are scores that a judge gave, as `score/metric`. Recorded outputs are no calls.
    """
    index.note_calls(_asked(index, runs))
    if judges:
        index.note_calls(_judged(store, index, judges))
    found: dict[System, Calls] = {}
    calls = index.calls()
    while batch := list(islice(calls, BATCH)):
        records = {record.key: record for record in store.generation_records(list({each.key for each in batch}))}
        for call in batch:
            if record := records.get(call.key):
                of_user = SIMULATED_USER in record.generation.provider
                system = _system(index, call, record.request.model_id, record.request.params, of_user=of_user)
                found.setdefault(system, Calls()).add(record.generation)
    order = {system: number for number, system in enumerate(index.systems)}
    return dict(sorted(found.items(), key=lambda each: order.get(each[0], len(order))))


def _asked(index: Index, runs: Sequence[RunRecord]) -> Iterator[Call]:
    recorded = {
        (run.run_id, each["slice_id"])
        for run in runs
        for each in run.manifest["benchmark"]["slices"]
        if each.get("generation") is None
    }
    for entry in index.entries():
        if (entry.run_id, entry.slice_id) not in recorded:
            yield from (Call(entry.run_id, key, system=entry.system) for key in entry.keys)


def _judged(store: Store, index: Index, judges: Sequence[str]) -> Iterator[Call]:
    numbers = {each.name: number for number, each in enumerate(index.scorers) if each.name in judges}
    for entry in index.entries():
        for score in store.score_entries(entry.run_id, entry.slice_id, entry.trial_id):
            number = numbers.get(f"{score.score}/{score.metric}")
            if number is not None:
                yield from (Call(entry.run_id, key, scorer=number) for key in score.judged_by)


def _system(index: Index, call: Call, model_id: str, params: Mapping[str, Any], *, of_user: bool) -> System:
    settings = ", ".join(f"{name}={json.dumps(value)}" for name, value in params.items())
    if of_user:
        return System(call.run_id, model_id, "simulated user", settings or "default")
    if call.system is not None:
        return index.systems[call.system]
    assert call.scorer is not None
    return System(call.run_id, model_id, f"judge of {index.scorers[call.scorer].name}", settings or "default")
