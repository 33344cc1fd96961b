"""What must be said of a run's numbers: which scores are missing, and why. It reads no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from themis_core.records import SCORE_FAULTS
from themis_core.results.row import GroupRow, ResultRow
from themis_wording import counted

__all__ = [
    "answers_read",
    "is_baseline",
    "mostly_faulty",
    "nothing_scored",
    "only_absent",
    "reasons_told",
    "some_of",
    "unscored",
    "warnings_of",
]

IS_BASELINE = "is_baseline"
UNPARSED_TOLD = 0.05
"""Share of unparsed answers beyond which a row is warned of."""
ABSENT = "absent"
"""Reason of a score that was never recorded where the spec says that this is right: counted, and not missing."""


def nothing_scored(row: ResultRow) -> bool:
    """Whether a row has no number although there are answers, and it is not the row of a judge's own baseline."""
    return row.value is None and row.n + unscored(row) > 0 and not is_baseline(row)


def mostly_faulty(row: ResultRow) -> bool:
    """Whether half of a row's scores or more are missing by a fault: its number says little of the model then."""
    faults = sum(count for reason, count in row.reasons.items() if reason in SCORE_FAULTS)
    answers = row.n if row.denominator == "planned_missing_worst" else row.n + unscored(row)
    return faults > 0 and 2 * faults >= answers


def only_absent(rows: Iterable[ResultRow]) -> list[str]:
    """The scores, as `score/metric`, of which there is nothing in any row but that it is absent."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(f"{row.score}/{row.metric}", Counter()).update({"scored": row.n, **row.reasons})
    return [name for name, count in counts.items() if 0 < count[ABSENT] == count.total()]


def unscored(row: ResultRow | GroupRow) -> int:
    """The answers whose score is missing; one that is absent is not."""
    return row.unscored - row.reasons.get(ABSENT, 0)


def warnings_of(rows: Sequence[ResultRow], counts: Mapping[str, Any]) -> list[str]:
    """What must not be overlooked, a line each: scores that are missing by a fault, rows in which nothing was scored,
    and what engines warn of.

    `counts` are those of `RunFinished`: in `errors` one message per reason, in `warnings` how often each was given.
    """
    warned = (f"{counted(count, 'answer')}: {told}" for told, count in _warned(counts))
    absent = (
        f"{name}: all scores are absent, so there is no number: is that what the recording should be?"
        for name in only_absent(rows)
    )
    faults = [*_faults(rows, counts.get("errors", {})), *_mostly_faulty(rows)]
    return [*faults, *_empty_rows(rows), *_mostly_unparsed(rows), *absent, *warned]


def answers_read(row: ResultRow | GroupRow) -> int:
    """Answers that were scored, whatever the parse found."""
    return row.n + row.unparsed if row.denominator == "parsed" else row.n


def _mostly_unparsed(rows: Sequence[ResultRow]) -> Iterator[str]:
    """Rows with one score of one parse are told once: its other metrics read the same."""
    seen = set()
    for row in rows:
        where = (row.score, row.slice_id, row.model_id, row.prompt_variant_id, row.params)
        if where in seen or row.unparsed <= UNPARSED_TOLD * answers_read(row):
            continue
        seen.add(where)
        told = some_of(row.unparsed, answers_read(row), "answer")
        ends = (
            ": the run ends with exit 5; `max_unparsed: 1` of the parse waives that"
            if row.too_unparsed
            else ", more than a twentieth"
        )
        place = " · ".join(dict.fromkeys(name for name in where[1:] if name != "default"))
        yield f"{row.score}: {told} unparsed for {place}{ends}"


def _warned(counts: Mapping[str, Any]) -> list[tuple[str, int]]:
    return Counter(counts.get("warnings", {})).most_common()


def _faults(rows: Sequence[ResultRow], examples: Mapping[str, str]) -> Iterator[str]:
    counts: Counter[tuple[str, str, str]] = Counter()
    totals: Counter[tuple[str, str]] = Counter()
    for row in rows:
        totals[row.score, row.metric] += row.n + row.unscored
        for reason, count in row.reasons.items():
            if reason in SCORE_FAULTS:
                counts[row.score, row.metric, reason] += count
    for (score, metric, reason), count in counts.items():
        example = examples.get(reason, "")
        of_another = any(example.startswith(f"{other}: ") for _, other in totals if other != metric)
        such = f", such as: {example}" if example and not of_another else ""
        told = f"{score}/{metric}: {some_of(count, totals[score, metric], 'score')} missing"
        yield (
            f"{told}, because {SCORE_FAULTS[reason]} ({reason}){such}. They are in no mean; the next run tries them"
            " again, from the stored answers"
        )


def _mostly_faulty(rows: Sequence[ResultRow]) -> Iterator[str]:
    for row in rows:
        if mostly_faulty(row) and not nothing_scored(row):
            missing = f"{row.score}/{row.metric}: half of the scores or more are missing"
            yield f"{missing} for {_place(row)}: the run ends with exit 5"


def _empty_rows(rows: Sequence[ResultRow]) -> Iterator[str]:
    for row in filter(nothing_scored, rows):
        why = "its aggregate failed or is not in the range" if row.n else reasons_told(row)
        yield f"{row.score}/{row.metric}: nothing could be scored for {_place(row)} ({why})"


def _place(row: ResultRow) -> str:
    return " · ".join(str(getattr(row, name)) for name in ("slice_id", "model_id", "prompt_variant_id"))


def is_baseline(row: ResultRow) -> bool:
    """Whether it is the row of a judge's own baseline, which is compared with itself by nobody."""
    return row.n == 0 and set(row.reasons) == {IS_BASELINE}


def some_of(some: int, total: int, noun: str) -> str:
    """`1 of 20 scores is`, `2 of 20 scores are`."""
    return f"{some} of {counted(total, noun)} {'is' if some == 1 else 'are'}"


def reasons_told(row: ResultRow | GroupRow) -> str:
    """Why scores of the row are missing, each reason with its count."""
    return ", ".join(f"{reason} {count}" for reason, count in row.reasons.items() if reason != ABSENT)
