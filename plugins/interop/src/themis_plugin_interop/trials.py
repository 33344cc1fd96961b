"""A stored run as a stream of whole trials, and the little that all formats say alike of it.

Trials come in the store's order: by slice, model, prompt variant and settings, then item and sample. So what a format
keeps in one file is read in one piece, and memory holds `_BATCH` trials.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Final, NamedTuple

from themis_core import (
    SIMULATED_USER,
    Generation,
    GenerationRecorded,
    Item,
    RunRecord,
    ScoreEntry,
    Store,
    TrialRow,
    counted,
)
from themis_secrets import find_key, looks_like_a_key

__all__ = ["Answer", "Group", "Lost", "clean", "grouped", "plain_text", "rows_by_group", "scorers_of"]

_BATCH: Final = 64
"""Trials with their whole texts that are in memory at once."""


class Group(NamedTuple):
    """What one log of another tool is about."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    """The settings' label."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished trial with all that is stored of it."""

    trial: TrialRow
    item: Item
    turns: tuple[GenerationRecorded, ...]
    """None of them, if the item carries its output."""
    scores: Sequence[ScoreEntry]

    @property
    def generation(self) -> Generation:
        """The answer that was scored."""
        if self.turns:
            return self.turns[-1].generation
        return Generation("answered" if self.item.output else "empty", self.item.output or "")

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the model was asked last, with all turns before it."""
        return asked.request.messages if (asked := self._asked) else []

    @property
    def _asked(self) -> GenerationRecorded | None:
        """The last turn of the model, whatever a simulated user was asked."""
        return next((each for each in reversed(self.turns) if SIMULATED_USER not in each.generation.provider), None)

    @property
    def prompt(self) -> str:
        """The messages as one text: that of a single message alone, else a paragraph `role: text` for each."""
        texts = [(each["role"], plain_text(each.get("content"))) for each in self.messages]
        return texts[0][1] if len(texts) == 1 else "\n\n".join(f"{role}: {text}" for role, text in texts)

    @property
    def params(self) -> dict[str, Any]:
        """The inference settings as they were sent."""
        return asked.request.params if (asked := self._asked) else {}

    def found(self, entry: ScoreEntry) -> str:
        """What a score was made from: the extracted value as text, the answer if it was read as it is, or nothing."""
        if entry.extraction is None:
            return self.generation.text if entry.parse is None else ""
        value = entry.extraction.value if entry.extraction.parsed else ""
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def grouped(store: Store, run_id: str) -> Iterator[tuple[Group, Iterator[Answer]]]:
    """Stream a run's finished trials by group; each group is read before the next one is asked for."""
    return groupby(_answers(store, run_id), _group)


def _group(answer: Answer) -> Group:
    trial = answer.trial
    return Group(trial.slice_id, trial.model_id, trial.prompt_variant_id, trial.params)


def _answers(store: Store, run_id: str) -> Iterator[Answer]:
    trials = store.trial_rows(run_id)
    while batch := list(islice(trials, _BATCH)):
        keys = {key for each in batch for key in each.generation_keys}
        records = {each.key: each for each in store.generation_records(sorted(keys))}
        items = store.items(sorted({each.item_digest for each in batch}))
        for trial in batch:
            turns = tuple(records[key] for key in trial.generation_keys if key in records)
            scores = store.score_entries(run_id, trial.slice_id, trial.trial_id)
            yield Answer(trial, items.get(trial.item_digest) or Item(trial.item_id, {}), turns, scores)


def rows_by_group(summary: Mapping[str, Any]) -> dict[Group, list[dict[str, Any]]]:
    """The rows of a result by group, in their order."""
    found: dict[Group, list[dict[str, Any]]] = {}
    for row in summary["scores"]:
        group = Group(row["slice_id"], row["model_id"], row["prompt_variant_id"], row["params"])
        found.setdefault(group, []).append(row)
    return found


def scorers_of(run: RunRecord) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What the manifest says of each score, by slice, score and metric."""
    return {(each["slice_id"], each["score"], each["metric"]): each for each in run.manifest["scorers"]}


class Lost:
    """Counts what a run loses in an export, and says it."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, what: str, why: str) -> None:
        """Count one more `what`, such as `trial`, that is lost, with the rest of the sentence."""
        self._counts[what, why] += 1

    def told(self) -> list[str]:
        return [f"{counted(count, what)} {why}" for (what, why), count in self._counts.items()]


def plain_text(content: Any) -> str:
    """A message's content as text; what is none is named, such as `[image]` or `[file paper.pdf]`."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text", "") if part.get("type") == "text" else named_part(part) for part in content)


def named_part(part: Mapping[str, Any]) -> str:
    """What a part of a message is, where it can't be shown itself."""
    kind = part.get("type")
    if kind == "file":
        return f"[file {part['file'].get('filename', '')}]".replace(" ]", "]")
    return {"image_url": "[image]", "input_audio": "[sound]"}.get(str(kind), f"[{kind}]")


def clean(value: Any) -> Any:
    """Plain data with `***` for a text that looks like a key, and for what stands under a name such as `password`."""
    if isinstance(value, Mapping):
        return {
            str(name): "***" if find_key({name: inner}, by_name=True) == (name,) else clean(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return "***" if isinstance(value, str) and looks_like_a_key(value) else value
