"""What single judging models said: how their ballots spread, and how often those on one answer agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from themis_core import Store
from themis_plugin_report.index import Index

__all__ = ["Ballots", "ballots"]


@dataclass(slots=True)
class Ballots:
    """Those that one judging model cast for one score."""

    values: Counter[float] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    """By the reason why nothing could be read."""
    repeated: int = 0
    """Answers that it judged more than once."""
    alike: int = 0
    """Those of them on which all its ballots are the same."""

    @property
    def mean(self) -> float | None:
        return sum(value * count for value, count in self.values.items()) / self.values.total() if self.values else None


def ballots(store: Store, index: Index, judges: Sequence[str]) -> dict[tuple[str, str], Ballots]:
    """(score, as `score/metric`, and judging model) to its ballots, of judges that tell them in `details.verdicts`."""
    found: defaultdict[tuple[str, str], Ballots] = defaultdict(Ballots)
    for entry in index.entries() if judges else ():
        for score in store.score_entries(entry.run_id, entry.slice_id, entry.trial_id):
            name = f"{score.score}/{score.metric}"
            for judge, cast in _by_judge(score.result.details) if name in judges else ():
                _add(found[name, judge], cast)
    return dict(found)


def _by_judge(details: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    verdicts = details.get("verdicts")
    told: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in verdicts if isinstance(verdicts, list) else ():
        if isinstance(each, dict):
            told[str(each.get("judge", "–"))].append(each)
    yield from told.items()


def _add(ballots: Ballots, cast: Sequence[Mapping[str, Any]]) -> None:
    values = [each["value"] for each in cast if isinstance(each.get("value"), int | float)]
    ballots.values.update(values)
    ballots.unread.update(str(each.get("reason") or "?") for each in cast if each.get("value") is None)
    # A criterion or an order of its own is another question: only what was asked alike can agree.
    questions: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for each in cast:
        questions[str(each.get("criterion")), str(each.get("order"))].append(each.get("value"))
    for same in questions.values():
        if len(same) > 1:
            ballots.repeated += 1
            ballots.alike += len(set(same)) == 1
