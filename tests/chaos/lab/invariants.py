"""What must hold of a store after anything that went wrong, as a list of the ways in which it does not.

It reads a store as any client does, through `Store`, and knows no database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from lab.benchmark import Acknowledged, Benchmark

from themis_core import StorageError, Store, TrialRow
from themis_core.testing.server import ServedRequest

__all__ = ["content", "problems", "request_problems"]

Content = dict[str, tuple[str, str, tuple[tuple[str, str, float | None], ...]]]


def problems(
    benchmark: Benchmark,
    store: Store,
    *,
    acknowledged: Iterable[Acknowledged],
    requests: list[ServedRequest] | None = None,
    complete: bool = False,
) -> list[str]:
    """Every broken promise, one line each, the most telling word first; empty if all is well.

    With `complete`, the run is held to have ended: every planned trial has its answer.
    """
    acknowledged = list(acknowledged)
    return [
        *_log_problems(store),
        *_trial_problems(benchmark, store, complete),
        *_acknowledgement_problems(benchmark, store, acknowledged),
        *(request_problems(benchmark, acknowledged, requests) if requests is not None else ()),
    ]


def content(store: Store) -> Content:
    """What each item's trial came to: outcome, text, scores. Equal for equal results, whenever they were had."""
    found: Content = {}
    for run in store.runs():
        texts = _texts(store, run.run_id)
        scores: dict[str, list[tuple[str, str, float | None]]] = {}
        for score in store.score_rows(run.run_id):
            scores.setdefault(score.item_id, []).append((score.score, score.metric, score.value))
        for row in store.trial_rows(run.run_id):
            found[row.item_id] = (row.outcome, texts[row.item_id], tuple(sorted(scores.get(row.item_id, []))))
    return found


def request_problems(
    benchmark: Benchmark, acknowledged: list[Acknowledged], requests: list[ServedRequest]
) -> list[str]:
    """Requests that were sent for a trial after it was acknowledged with an answer."""
    done: dict[str, float] = {}
    for each in acknowledged:
        if each.outcome != "failed":
            done.setdefault(each.item_id, each.at)
    return [
        f"paid twice: {item} was asked {started - done[item]:.3f} s after its acknowledgement"
        for item, started in benchmark.items_asked(requests)
        if item in done and started > done[item]
    ]


def _log_problems(store: Store) -> list[str]:
    seqs, ended = [], Counter[tuple[str, str]]()
    for event in store.events():
        seqs.append(event["seq"])
        if event["kind"] == "trial" and event["outcome"] != "failed":
            ended[event["slice_id"], event["trial_id"]] += 1
    found = [f"twice: the log has {count} ends of trial {trial}" for (_, trial), count in ended.items() if count > 1]
    if seqs != sorted(set(seqs)):
        found.append("order: the log's numbers do not increase")
    return [*found, *(f"log: {each.place}: {each.problem}" for each in store.check_log())]


def _rows(store: Store) -> list[TrialRow]:
    return [row for run in store.runs() for row in store.trial_rows(run.run_id)]


def _texts(store: Store, run_id: str) -> dict[str, str]:
    """Text by item id, read a hundred at a time; a blob's hash is checked by reading it."""
    rows = store.trial_rows(run_id)
    found = {}
    while part := list(islice(rows, 100)):
        keys = [row.generation_keys[-1] for row in part]
        for row, record in zip(part, store.generation_records(keys), strict=True):
            found[row.item_id] = record.generation.text
    return found


def _trial_problems(benchmark: Benchmark, store: Store, complete: bool) -> list[str]:
    counts = Counter(row.item_id for row in _rows(store))
    found = [f"twice: {count} rows of {item}" for item, count in counts.items() if count > 1]
    found += [f"unknown: there is a row of {item}, which was not planned" for item in counts.keys() - benchmark.prompts]
    if complete:
        missing = benchmark.prompts.keys() - counts.keys()
        if missing:
            found.append(f"missing: {len(missing)} planned trials have no row, such as {min(missing)}")
        found += [f"failed: {row.item_id}: {row.error_code}" for row in _rows(store) if row.outcome != "answered"]
    return found


def _acknowledgement_problems(benchmark: Benchmark, store: Store, acknowledged: list[Acknowledged]) -> list[str]:
    try:
        there = content(store)
    except (StorageError, ValueError) as error:
        return [f"unreadable: {error}"]
    found = []
    for each in acknowledged:
        if each.item_id not in there:
            found.append(f"lost: {each.item_id} was acknowledged and is not there")
            continue
        outcome, text, scores = there[each.item_id]
        if each.outcome == "failed":
            continue  # a later execution may have replaced it
        if (outcome, scores) != (each.outcome, tuple(sorted((s, m, v) for s, m, v in each.scores))):
            found.append(
                f"changed: {each.item_id} was acknowledged as {each.outcome} {each.scores}, is {outcome} {scores}"
            )
        if text != benchmark.prompts[each.item_id]:
            found.append(f"changed: the text of {each.item_id} is not what the server said")
    return found
