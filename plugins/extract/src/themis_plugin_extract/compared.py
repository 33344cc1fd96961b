"""Two parses of one run's spec, on all its stored answers: where they agree, and what it would change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Final

from themis_core import (
    Extraction,
    Generation,
    Item,
    Judge,
    Metric,
    PluginError,
    Reread,
    Results,
    RunRecord,
    Score,
    SpecError,
    TrialRow,
    rereading,
)
from themis_numbers import read_number

__all__ = ["Compared", "compare_parses"]

BATCH: Final = 200
PAIRS: Final = 25
AGREEMENTS: Final = (
    "same value", "same number", "same text", "both right", "different values", "only A", "only B", "neither",
)  # fmt: skip
"""Of other values than the same: `same number` is one number in two forms, `same text` one text but for case, white
space and a full stop, both only where the metric scores them alike; `both right` is what the metric scores best."""
AGREE: Final = ("same value", "same number", "same text", "both right", "neither")


@dataclass(slots=True)
class OfModel:
    """What both parses make of one model's answers."""

    answers: int = 0
    unparsed: list[int] = field(default_factory=lambda: [0, 0])
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    scored: list[int] = field(default_factory=lambda: [0, 0])
    parts: tuple[dict[str, list[Score]], dict[str, list[Score]]] = field(default_factory=lambda: ({}, {}))
    """By item, of a metric that makes its number of all scores at once: these scores, with their parts."""
    aggregates: list[float | None] | None = None
    """That number by A and by B; None if the metric's is the mean."""

    def numbers(self) -> list[float | None]:
        """The metric's own number by A and by B; None where there is none."""
        return self.means() if self.aggregates is None else self.aggregates

    def means(self) -> list[float | None]:
        """The mean score by A and by B; None where nothing was scored."""
        return [total / n if n else None for total, n in zip(self.sums, self.scored, strict=True)]


@dataclass(slots=True)
class Compared:
    """How two parses agree."""

    run_id: str
    a: str
    b: str
    scored: str | None
    """Score and metric that the values were scored by; None if no metric of the spec reads either parse."""
    agreement: Counter[str]
    """By one of `AGREEMENTS`: answers."""
    right: Counter[tuple[float, float]]
    """By the scores of A and B: answers, where there are scores; empty if there are more than `PAIRS` such pairs."""
    models: dict[str, OfModel]
    disagreements: list[dict[str, Any]]
    """The most telling ones: where the scores differ, then where the values do; of each model in turn."""
    higher: Counter[str] = field(default_factory=Counter)
    """Answers to which `A` or `B` gives the higher score, and those to which both give the same, `neither`."""
    higher_is_better: bool = True
    best: float | None = None
    """The best score that the metric can give; None where it says none."""
    is_mean: bool = True
    """Whether the metric's own number of a run is the mean of its scores."""

    @property
    def agreed(self) -> int:
        """Answers of which both parses say the same."""
        return sum(self.agreement[each] for each in AGREE)

    def ranking(self, side: int) -> list[list[str]]:
        """The models from the best number to the worst, by A (0) or B (1); those with the same number together."""
        places: dict[float, list[str]] = {}
        for name, of in sorted(self.models.items()):
            if (number := of.numbers()[side]) is not None:
                places.setdefault(round(number, 12), []).append(name)
        return [places[number] for number in sorted(places, reverse=self.higher_is_better)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `--format json` prints it."""
        return {
            "run_id": self.run_id, "a": self.a, "b": self.b, "scored": self.scored,
            "higher_is_better": self.higher_is_better, "best": self.best, "is_mean": self.is_mean,
            "agreement": {name: self.agreement[name] for name in AGREEMENTS},
            "scores": [{"a": a, "b": b, "answers": count} for (a, b), count in sorted(self.right.items())],
            "higher": {name: self.higher[name] for name in ("A", "B", "neither")},
            "models": {
                name: {
                    "answers": of.answers, "unparsed": of.unparsed, "means": of.means(), "numbers": of.numbers(),
                }
                for name, of in self.models.items()
            },
            "rankings": [self.ranking(0), self.ranking(1)],
            "disagreements": self.disagreements,
        }  # fmt: skip


def compare_parses(
    results: Results,
    run_id: str,
    a: str,
    b: str,
    *,
    score: str | None = None,
    slice_id: str | None = None,
    most: int = 10,
) -> Compared:
    """Read every stored answer of a run by two parses of its spec, and score what each finds; no model is called.

    `score` names the score whose first metric is used; by default the first that reads one of the parses. Raises
    SpecError if no slice has both parses, or they are one.
    """
    run = results.run(run_id)
    slices = _slices(run, a, b, slice_id)
    component: Metric | Judge | None = None
    found = Compared(run.run_id, a, b, None, Counter(), Counter(), {}, [])
    kept: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for each, rows in groupby(results.trials(run.run_id), key=lambda row: row.slice_id):
        if each not in slices:
            continue
        scored = _scored(run, slices[each], (a, b), score)
        if scored and found.scored is None:
            found.scored, found.higher_is_better, found.best, found.is_mean = _described(run, each, scored)
        if scored and "/".join(scored) != found.scored:
            scored = None  # a mean over different metrics would be of nothing
        if scored and not found.is_mean:
            component = _same(component, results.aggregates(run.run_id).get((each, *scored)), found.scored)
        with ExitStack() as stack:
            readers = [stack.enter_context(rereading(results, run.run_id, each, name, scored)) for name in (a, b)]
            for row, item, generation in _answers(results, rows, _of_several_turns(run)):
                _count(found, kept, row, item, generation, [read(item, generation) for read in readers])
    if component is not None:
        for of in found.models.values():
            of.aggregates = [_aggregated(component, each, found.scored) for each in of.parts]
            of.parts = ({}, {})
    found.disagreements = _in_turn(kept, most)
    return found


def _same(known: Metric | Judge | None, own: Metric | Judge | None, name: str | None) -> Metric | Judge | None:
    """The component that makes one number of all slices. Raises SpecError if theirs differ."""
    if known is not None and own != known:
        raise SpecError(f"{name} has other settings in another slice, so there is no number of both: name one slice")
    return own


def _aggregated(component: Any, parts: Mapping[str, Sequence[Score]], name: str | None) -> float | None:
    if not parts:
        return None
    try:
        value = component.aggregate_items([list(scores) for scores in parts.values()])
        return None if value is None else float(value)
    except Exception as error:
        raise PluginError(f"{name} failed at aggregate_items: {error}") from error


def _slices(run: RunRecord, a: str, b: str, wanted: str | None) -> dict[str, dict[str, Any]]:
    listed = {each["slice_id"]: each for each in run.manifest["benchmark"]["slices"]}
    found = {
        name: each
        for name, each in listed.items()
        if wanted in (None, name) and {a, b} <= {parse["name"] for parse in each["parses"]}
    }
    if not found:
        known = "; ".join(
            f"{name} has {', '.join(parse['name'] for parse in each['parses']) or 'none'}"
            for name, each in listed.items()
        )
        raise SpecError(f"no slice of {run.run_id} has both parses, {a!r} and {b!r}: {known}")
    if a == b:
        raise SpecError(f"{a!r} agrees with itself: name two parses")
    return found


def _scored(run: RunRecord, of: dict[str, Any], parses: tuple[str, str], wanted: str | None) -> tuple[str, str] | None:
    """The score and metric of the slice that the values are scored by: no judge, which would have to be asked."""
    reads = {each["name"]: each["parse"] for each in of["scores"]}
    if wanted is not None and wanted not in reads:
        raise SpecError(f"slice {of['slice_id']!r} has no score {wanted!r}. It has: {', '.join(reads) or 'none'}")
    for each in run.manifest["scorers"]:
        if each["slice_id"] != of["slice_id"] or each["kind"] != "metric":
            continue
        if each["score"] == wanted or (wanted is None and reads.get(each["score"]) in parses):
            return each["score"], each["metric"]
    return None


def _described(run: RunRecord, slice_id: str, scored: tuple[str, str]) -> tuple[str, bool, float | None, bool]:
    """What it is called, whether higher is better, the best score, and whether its number is the mean."""
    place = (slice_id, *scored)
    scorers = run.manifest["scorers"]
    scorer = next(each for each in scorers if (each["slice_id"], each["score"], each["metric"]) == place)
    higher = bool(scorer.get("higher_is_better", True))
    return "/".join(scored), higher, scorer.get("highest" if higher else "lowest"), bool(scorer["aggregates_mean"])


def _of_several_turns(run: RunRecord) -> set[str]:
    """The prompt variants whose answers metrics are handed with the whole conversation."""
    variants = run.manifest["benchmark"]["prompt_variants"]
    return {each["id"] for each in variants if each.get("follow_ups") or each.get("conversation")}


def _answers(
    results: Results, rows: Iterator[TrialRow], several: set[str]
) -> Iterator[tuple[TrialRow, Item, Generation]]:
    """Each answered trial with its item and the last turn's answer, some at a time; `several` are variants of several
    turns."""
    while batch := list(islice(rows, BATCH)):
        told = [row for row in batch if row.generation_keys and row.outcome not in ("failed", "absent")]
        items = results.items(list({row.item_digest for row in told}))
        keys = list({row.generation_keys[-1] for row in told})
        answers = {each.key: each for each in results.generations(keys)}
        for row in told:
            if row.item_digest in items and row.generation_keys[-1] in answers:
                record = answers[row.generation_keys[-1]]
                answer = record.heard() if row.prompt_variant_id in several else record.generation
                yield row, items[row.item_digest], answer


def _count(
    found: Compared, kept: dict[str, list[tuple[int, dict[str, Any]]]], row: TrialRow, item: Item,
    generation: Generation, read: Sequence[Reread],
) -> None:  # fmt: skip
    of = found.models.setdefault(row.model_id, OfModel())
    of.answers += 1
    for side, each in enumerate(read):
        of.unparsed[side] += not _parsed(each.extraction)
        if each.score is not None and each.score.value is not None:
            of.sums[side] += each.score.value
            of.scored[side] += 1
            if not found.is_mean:
                by_item = of.parts[side].setdefault(row.item_digest, [])
                by_item.append(Score(each.score.value, parts=each.score.parts))
    scores = [None if each.score is None else each.score.value for each in read]
    agreement = _agreement(read[0].extraction, read[1].extraction, scores, found.best)
    found.agreement[agreement] += 1
    _count_scores(found, scores[0], scores[1])
    weight = 2 * (scores[0] != scores[1]) + (agreement not in AGREE)
    if weight:
        told = {
            "model": row.model_id, "item": row.item_id, "slice": row.slice_id, "trial": row.trial_id,
            "reference": item.reference, "answer": generation.text,
            **{f"value_{name}": _told(each.extraction) for name, each in zip("ab", read, strict=True)},
            **{f"score_{name}": value for name, value in zip("ab", scores, strict=True)},
        }  # fmt: skip
        listed = kept.setdefault(row.model_id, [])
        listed.append((weight, told))
        if len(listed) > BATCH:  # what is kept stays small, whatever the run's size
            listed.sort(key=lambda each: -each[0])
            del listed[BATCH // 2 :]


def _count_scores(found: Compared, a: float | None, b: float | None) -> None:
    if a is None or b is None:
        return
    if found.right or not found.higher:
        found.right[a, b] += 1
    if len(found.right) > PAIRS:  # scores between: a table of all would be as long as the run
        found.right.clear()
    found.higher["neither" if a == b else "A" if a > b else "B"] += 1


def _parsed(extraction: Extraction | None) -> bool:
    return extraction is not None and extraction.parsed


def _agreement(
    a: Extraction | None, b: Extraction | None, scores: Sequence[float | None], best: float | None
) -> str:  # fmt: skip
    if not (_parsed(a) and _parsed(b)):
        return "only A" if _parsed(a) else "only B" if _parsed(b) else "neither"
    assert a is not None
    assert b is not None
    if type(a.value) is type(b.value) and a.value == b.value:
        return "same value"
    if scores[0] != scores[1]:
        return "different values"
    if _one_number(a.value, b.value):
        return "same number"
    if _bare(a.value) == _bare(b.value):
        return "same text"
    return "both right" if best is not None and scores[0] == best else "different values"


def _one_number(a: Any, b: Any) -> bool:
    """Whether both are one number as a whole. What one side has as a double is compared as doubles."""
    numbers = read_number(a), read_number(b)
    if None in numbers or isinstance(a, float) is isinstance(b, float):
        return None not in numbers and numbers[0] == numbers[1]
    try:
        first, second = (float(each) for each in numbers if each is not None)
    except OverflowError:
        return False
    return first == second


def _bare(value: Any) -> str:
    """A value as text, without case, a full stop, and white space that shows nothing."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def _told(extraction: Extraction | None) -> Any:
    if extraction is None:
        return None
    return extraction.value if extraction.parsed else f"nothing ({extraction.reason})"


def _in_turn(kept: dict[str, list[tuple[int, dict[str, Any]]]], most: int) -> list[dict[str, Any]]:
    """One of each model after another, the weightiest first."""
    queues = [sorted(each, key=lambda pair: -pair[0]) for each in kept.values()]
    found = []
    for place in range(max(map(len, queues), default=0)):
        found += [queue[place] for queue in queues if place < len(queue)]
    return [told for _, told in sorted(found, key=lambda pair: -pair[0])[:most]]
