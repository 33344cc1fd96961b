"""Reads what the judges of a stored run said, and the human label of each answer that has one. Writes nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from themis_core import Results, RunRecord, SpecError, digest

__all__ = ["Judged", "JudgeScores", "Labels", "label_values", "read_judges"]

Answer = tuple[str, str, str, str]
"""Slice id, model id, prompt variant id and the label of the settings: what results are grouped by."""
Place = tuple[str, str, str]
"""Slice id, score and metric."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Where an item's human label is, and how it is read."""

    name: str
    """`reference`, or a field or metadata of the item; dots reach into mappings."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Label text to number."""

    def of(self, item: Mapping[str, Any], model_id: str) -> tuple[Any, str | None]:
        """The label of a model's answer, None if it has none; and the model that the item names for it, if it does."""
        value = self._found(item)
        return (value.get(model_id), model_id) if isinstance(value, Mapping) else (value, None)

    def _found(self, item: Mapping[str, Any]) -> Any:
        if self.name == "reference":
            return item["reference"]
        for holder in (item["metadata"], item["fields"]):
            value: Any = holder
            for part in (self.name,) if self.name in holder else self.name.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None:
                return value
        return None

    def number(self, label: Any, where: str) -> float:
        """The label as a finite number. Raises SpecError, naming `where`, if it is none."""
        if isinstance(label, str | int | float):
            for text in (str(label), label if isinstance(label, str) else f"{label:g}"):
                if text in self.numbers:
                    return self.numbers[text]
        if isinstance(label, str | int | float):
            try:
                number = float(label)
            except (ValueError, OverflowError):
                number = math.nan
            if math.isfinite(number):
                return number
        hint = f" Say what it counts as, such as --label-value {label[:40]!r}=1" if isinstance(label, str) else ""
        raise SpecError(f"{where}: the label in {self.name!r} is {str(label)[:80]!r}, which is no number.{hint}")


def label_values(texts: Iterable[str]) -> dict[str, float]:
    """What labels count as, from texts such as `good=1`.

    Raises SpecError for one that is not written so, or that counts as two numbers.
    """
    found: dict[str, float] = {}
    for label, value in map(_label_value, texts):
        if found.setdefault(label, value) != value:
            raise SpecError(
                f"--label-value: {label} is to count as {found[label]:g} and as {value:g}: leave out one of them"
            )
    return found


def _label_value(text: str) -> tuple[str, float]:
    label, equals, number = text.rpartition("=")
    try:
        if equals and math.isfinite(value := float(number)):
            return label, value
    except ValueError:
        pass
    raise SpecError(f"--label-value {text}: write it as label=number, such as good=1")


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer's score by one judge."""

    answer: Answer
    item_id: str
    value: float | None
    """None if unscored."""
    reason: str | None
    seen: bool
    """False if the answer was refused, empty or unparsed, and so not put to the judge."""
    label: float | None
    """What people gave it; None if it has no label."""
    verdicts: Sequence[Mapping[str, Any]]
    """The single verdicts with a value: `judge`, `repeat`, `order`, `criterion`, `value`."""


@dataclass(frozen=True, slots=True)
class JudgeScores:
    """One judge: a metric of a score with its component, config and judging model, in all slices that have it."""

    score: str
    metric: str
    component: str
    slices: list[str]
    judged: list[Judged]
    lowest: float | None = None
    highest: float | None = None
    """Range that the judge declares; None where it has no end."""


def read_judges(results: Results, run: RunRecord, labels: Labels) -> list[JudgeScores]:
    """All judges of a run in the order of its spec, each with the answers it scored.

    Raises SpecError if there is no judge or no label, a label is no number, or one label is that of two answers.
    """
    places = _judges(run)
    if not places:
        raise SpecError(f"{run.run_id} has no score by a judge: give a metric of the spec a `judge`")
    items: Counter[str] = Counter()
    for place, judged in _stored(results, run.run_id, places, labels, items):
        places[place].judged.append(judged)
    judges = list({id(judge): judge for judge in places.values()}.values())
    if all(each.label is None for judge in judges for each in judge.judged):
        raise SpecError(
            f"no item has a label in {labels.name!r}: name the field or metadata with the human label by --label. "
            f"The items have: {', '.join(sorted(items)) or 'nothing stored yet'}"
        )
    return judges


def _judges(run: RunRecord) -> dict[Place, JudgeScores]:
    """Where each judge scores. Equal judges are one, also across slices; equal names of unequal judges are not."""
    asked = {
        (each["slice_id"], score["name"], metric.get("name") or metric["id"]): metric.get("judge")
        for each in run.manifest["benchmark"]["slices"]
        for score in each.get("scores") or ()
        for metric in score["metrics"]
    }
    judges: dict[str, JudgeScores] = {}
    places = {}
    for scorer in run.manifest["scorers"]:
        if scorer["kind"] != "judge":
            continue
        place = (scorer["slice_id"], scorer["score"], scorer["metric"])
        identity = [scorer[name] for name in ("score", "metric", "component", "version", "config")]
        judge = judges.setdefault(
            digest([*identity, asked[place]]),
            JudgeScores(place[1], place[2], scorer["component"], [], [], scorer["lowest"], scorer["highest"]),
        )
        judge.slices.append(place[0])
        places[place] = judge
    return places


def _stored(
    results: Results, run_id: str, places: Mapping[Place, JudgeScores], labels: Labels, names: Counter[str]
) -> Iterator[tuple[Place, Judged]]:
    slices = {place[0] for place in places}
    # Read to the end first: a store need not answer other questions while it streams.
    rows = [(row.trial_id, row.slice_id) for row in results.trials(run_id) if row.slice_id in slices]
    _check_slices(rows)
    owners: dict[tuple[str, str, str | None], Mapping[str, Any]] = {}
    for trial_id, _ in rows:
        timeline = results.trial(run_id, trial_id)
        trial, item = timeline["trial"], timeline["item"]
        names.update((*item["fields"], *item["metadata"]))
        label = _label(labels, item, trial, owners)
        for entry in timeline["scores"]:
            place = (trial["slice_id"], entry["score"], entry["metric"])
            if place in places:
                yield place, _judged(trial, entry, label)


def _check_slices(rows: Sequence[tuple[str, str]]) -> None:
    times = Counter(trial_id for trial_id, _ in rows)
    if twice := next((trial_id for trial_id in times if times[trial_id] > 1), None):
        places = " and ".join(sorted(slice_id for trial_id, slice_id in rows if trial_id == twice))
        raise SpecError(f"slices {places} have trials in common: measure them in specs of their own")


def _judged(trial: Mapping[str, Any], entry: Mapping[str, Any], label: float | None) -> Judged:
    result, extraction = entry["result"], entry["extraction"]
    unparsed = extraction is not None and extraction["reason"] is not None
    return Judged(
        (trial["slice_id"], trial["model_id"], trial["prompt_variant_id"], trial["params"]),
        trial["item_id"],
        result["value"],
        result["reason"],
        trial["outcome"] not in ("refused", "empty") and not unparsed,
        label,
        _verdicts(result["details"]),
    )


def _label(
    labels: Labels, item: Mapping[str, Any], trial: Mapping[str, Any], owners: dict[Any, Mapping[str, Any]]
) -> float | None:
    """The answer's label; a label that would be taken for several answers is a mistake."""
    label, model_id = labels.of(item, trial["model_id"])
    if label is None:
        return None
    where = f"slice {trial['slice_id']}, item {trial['item_id']!r}"
    owner = owners.setdefault((trial["slice_id"], trial["item_id"], model_id), trial)
    if owner["trial_id"] != trial["trial_id"]:
        told = " and ".join(
            f"{each['model_id']} (prompt {each['prompt_variant_id']}, {each['params']}, sample {each['sample_index']})"
            for each in (owner, trial)
        )
        raise SpecError(
            f"{where}: {labels.name!r} is one label, but there is more than one answer: {told}. A label belongs to one "
            "answer: label recorded outputs (a slice without `generation`), or write a mapping from model id to label"
        )
    return labels.number(label, where)


def _verdicts(details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = details.get("verdicts")
    found = told if isinstance(told, Sequence) and not isinstance(told, str) else ()
    return [each for each in found if isinstance(each, Mapping) and isinstance(each.get("value"), int | float)]
