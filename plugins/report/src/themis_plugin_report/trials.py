"""Single results as plain data for the page: item, prompts as sent, answers, what was read in them, scores, verdicts.

Results of one item are one group, so that what they share is told once, and packs well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from themis_core import SIMULATED_USER, GenerationRecorded, Item, ScoreEntry, Store, canonical_json
from themis_output import shortened
from themis_plugin_report.index import Entry, Index, facet_of

__all__ = ["groups", "text_of"]

BATCH = 200
"""Trials that are read at once."""
TOKENS = 20
"""Tokens of an answer whose log-probabilities are shown."""
LONGEST_URL = 200
_ANSWER = ("text", "reasoning", "refusal", "finish_reason", "error_code", "error", "cost", "latency_s")


def groups(store: Store, index: Index, entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    """One mapping per item: `slice`, `item`, `prompts` (lists of messages), `trials`. Entries are in their order."""
    pending = iter(entries)
    while batch := list(islice(pending, BATCH)):
        items = store.items(sorted({each.item_digest for each in batch}))
        keys = [key for each in batch for key in each.keys]
        replies = {record.key: record for record in store.generation_records(keys)}
        for (slice_id, digest), alike in groupby(batch, lambda each: (each.slice_id, each.item_digest)):
            yield _group(store, index, slice_id, items.get(digest), list(alike), replies)


def _group(
    store: Store,
    index: Index,
    slice_id: str,
    item: Item | None,
    entries: Sequence[Entry],
    replies: Mapping[str, GenerationRecorded],
) -> dict[str, Any]:
    prompts: dict[str, int] = {}
    messages: list[Any] = []

    def turn(record: GenerationRecorded) -> dict[str, Any]:
        sent = [_message(each) for each in record.request.messages]
        number = prompts.setdefault(canonical_json(sent), len(prompts))
        if number == len(messages):
            messages.append(sent)
        return {"prompt": number, **_turn(record)}

    told = [_trial(store, index, each, [turn(replies[key]) for key in each.keys if key in replies]) for each in entries]
    shown: dict[str, Any] = {"id": entries[0].item_id}
    if item is not None:
        told_of = {"fields": item.fields, "reference": item.reference, "metadata": item.metadata}
        shown |= {name: _without_data(value) for name, value in told_of.items()}
        # Scripts write numbers in their own way, 1.0 as 1: the filter compares these.
        numbers = {name: facet_of(value) for name, value in item.metadata.items() if isinstance(value, int | float)}
        shown |= {"numbers": numbers} if numbers else {}
    return {"slice": slice_id, "item": shown, "prompts": messages, "trials": told}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as it was sent, with what is long and no text cut."""
    content = message.get("content")
    if isinstance(content, list):
        content = [_part(part) for part in content]
    if calls := message.get("tool_calls"):
        said = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
        content = [*said, *({"type": "text", "text": canonical_json(each)} for each in calls)]
    return {**message, "content": _without_data(content)}


def _part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in (None, "text") or not isinstance(inner := part.get(kind), dict):
        return part
    return {**part, kind: {name: _cut(value) for name, value in inner.items() if name != "detail" or value}}


def _cut(value: Any) -> Any:
    if not isinstance(value, str) or len(value) <= LONGEST_URL:
        return value
    return f"{value[:60]}… ({len(value)} characters)"


def _without_data(value: Any) -> Any:
    """Plain data, the contents of its `data:` URLs cut: a page is to be read."""
    if isinstance(value, dict):
        return {name: _without_data(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_data(each) for each in value]
    return shortened(value) if isinstance(value, str) and len(value) > LONGEST_URL else value


def _turn(record: GenerationRecorded) -> dict[str, Any]:
    answer = record.generation
    told = {"status": answer.status, "at": record.at[:19], "model": record.request.model_id}
    if (after := answer.provider.get(SIMULATED_USER)) is not None:
        told["user"] = after
    told |= {name: value for name in _ANSWER if (value := getattr(answer, name)) not in (None, "")}
    usage = {name: value for name, value in answer.to_dict().get("usage", {}).items() if value}
    more = {
        "params": record.request.params,
        "seed": record.request.seed,
        "usage": usage,
        "attempts": answer.attempts if answer.attempts > 1 else None,
        "choices": list(answer.alternatives),
        "tool_calls": list(answer.tool_calls),
        "logprobs": [[each.get("token"), each.get("logprob")] for each in (answer.logprobs or ())[:TOKENS]],
        "provider": answer.provider,
        "handed": record.request.item,
        "steps": [each.to_dict() for each in answer.steps],
        "steps_left_out": answer.steps_left_out or None,
    }
    return told | {name: value for name, value in more.items() if value not in (None, [], {})}


def _trial(store: Store, index: Index, entry: Entry, turns: list[dict[str, Any]]) -> dict[str, Any]:
    marks = index.marks(entry.n)
    numbers = {(each.score, each.metric): number for number, each in enumerate(index.scorers)}
    scores = [
        _score(store, numbers[each.score, each.metric], each, marks)
        for each in store.score_entries(entry.run_id, entry.slice_id, entry.trial_id)
        if (each.score, each.metric) in numbers
    ]
    told = {"n": entry.n, "id": entry.trial_id[:12], "system": entry.system, "outcome": entry.outcome}
    more = {"sample": entry.sample, "code": entry.error_code, "turns": turns, "scores": scores}
    return told | {name: value for name, value in more.items() if value}


def _score(
    store: Store, scorer: int, entry: ScoreEntry, marks: Mapping[int, tuple[bool | None, bool]]
) -> dict[str, Any]:
    correct, flipped = marks.get(scorer, (None, False))
    told: dict[str, Any] = {"scorer": scorer, "value": entry.result.value}
    if entry.extraction is not None:
        found = entry.extraction
        told |= {"found": found.value} if found.parsed else {"unparsed": found.reason}
    judged = [
        {"messages": [_message(message) for message in each.request.messages], **_turn(each)}
        for each in store.generation_records(entry.judged_by)
    ]
    more = {
        "correct": correct, "flipped": flipped or None, "reason": entry.result.reason, "parse": entry.parse,
        "details": entry.result.details or None, "judged": judged or None,
    }  # fmt: skip
    return told | {name: value for name, value in more.items() if value is not None}


def text_of(group: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    """What a search looks in, in lower case; the page's script looks in the same."""
    turns, scores = trial.get("turns", ()), trial.get("scores", ())
    parts = [group["item"]["id"], trial["id"]]
    for turn in turns:
        parts += [turn.get("text"), turn.get("reasoning"), turn.get("error")]
        parts.append(json.dumps(group["prompts"][turn["prompt"]], ensure_ascii=False))
    parts += [found if isinstance(found := each.get("found", ""), str) else json.dumps(found) for each in scores]
    return "\n".join(each for each in parts if each).lower()
