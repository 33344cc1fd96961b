"""Finds the items to which no answer can be scored, before a call is paid for. It scores nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from themis_core.components.scoring import Scoring
from themis_core.planning.items import Items
from themis_core.plugins import Scorer, from_outside, in_its_time
from themis_core.records import Item
from themis_core.wording import counted
from themis_plain import Handed

__all__ = ["Unscorable", "unscorable_items"]

_SHOWN = 3
"""Places that are named of each kind."""


@dataclass(frozen=True, slots=True)
class Unscorable:
    """Items of one slice that a metric or judge can't score, all for one reason."""

    slice_id: str
    score: str
    metric: str
    reason: str
    items: int
    of_items: int
    """Items of the slice."""
    examples: tuple[str, ...]
    """Where the first few are, such as `data.jsonl:17`, or their ids if the loader does not say."""

    def told(self) -> str:
        """The same for people, in one line."""
        return (
            f"slice {self.slice_id!r}, {self.score}/{self.metric}: {self.items} of {counted(self.of_items, 'item')} "
            f"can't be scored ({self.reason}), whatever the answer is, such as {', '.join(self.examples)}"
        )


def unscorable_items(slice_id: str, items: Items, scorers: Sequence[Scorer]) -> list[Unscorable]:
    """What the scorers of a slice can't score, each by reason, in the order in which it was found."""
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], list[str]] = {}
    for scorer, item, reason in _refused(items, scorers):
        key = (scorer.score, scorer.metric, reason)
        counts[key] += 1
        if counts[key] <= _SHOWN:
            first.setdefault(key, []).append(item.id)
    places = items.places({each for ids in first.values() for each in ids}) if first else {}
    return [
        Unscorable(slice_id, *key, count, items.count, tuple(places.get(each) or each for each in first[key]))
        for key, count in counts.items()
    ]


def _refused(items: Iterable[Item], scorers: Sequence[Scorer]) -> Iterator[tuple[Scorer, Item, str]]:
    asked = [each for each in scorers if type(each.scoring).unscorable is not Scoring.unscorable]
    for item in items if asked else ():
        handed = Handed(item=item)
        for scorer in asked:
            try:
                reason = _asked(scorer, handed["item"])
                handed.check()
            except BaseException as error:  # the run shows it, with its message, as what it is
                if from_outside(error):
                    raise
                reason = "metric_error"
                handed = Handed(item=item)  # the next one gets it as it was
            if reason is not None:
                yield scorer, item, str(reason)


def _asked(scorer: Scorer, item: Item) -> str | None:
    return in_its_time(scorer.component, scorer.scoring, "unscorable", item)  # type: ignore[no-any-return]
