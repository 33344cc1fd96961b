"""Finds the items to which no answer can be scored, before a call is paid for. It scores nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from themis_core.components.scoring import Scoring
from themis_core.planning.items import Items
from themis_core.plugins import Scorer, each_in_its_time, from_outside, in_its_time, is_quick
from themis_core.records import Item
from themis_plain import Handed
from themis_wording import counted

__all__ = ["SHOWN", "Asked", "Unscorable"]

SHOWN = 3
"""Places that are named of each kind."""
_TOGETHER = 64
"""Items that a quick scorer is asked of under one deadline: one for each would take as long as the answer."""
MOST_HELD = 20_000
"""Items of one slice of which is remembered that they were refused, some 2 MB."""


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


class Asked:
    """What the scorers of one slice say of its items, which holds for every answer."""

    def __init__(self, slice_id: str, items: Items, scorers: Sequence[Scorer], *, every: bool = False) -> None:
        """With `every`, they are asked about all items, whatever the plan's part is."""
        counts: Counter[tuple[str, str, str]] = Counter()
        first: dict[tuple[str, str, str], list[str]] = {}
        self._refused: set[str] | None = set()
        for scorer, item, reason in _refused(items.every() if every else items, scorers):
            if self._refused is not None:
                self._refused.add(item.digest)
                if len(self._refused) > MOST_HELD:
                    self._refused = None
            if not (every or items.is_counted(item)):
                continue
            key = (scorer.score, scorer.metric, reason)
            counts[key] += 1
            if counts[key] <= SHOWN:
                first.setdefault(key, []).append(item.id)
        self.first = {key: tuple(ids) for key, ids in first.items()}
        """By score, metric and reason: the ids of the first few items."""
        places = items.places({each for ids in first.values() for each in ids}) if first else {}
        self.unscorable = tuple(
            Unscorable(slice_id, *key, count, items.count, tuple(places.get(each) or each for each in first[key]))
            for key, count in counts.items()
        )
        """By scorer and reason, in the order in which they were found."""

    @classmethod
    def later(cls, scorers: Sequence[Scorer]) -> Asked:
        """What is not known yet of any item: each is asked about when it is scored."""
        unknown = cls.__new__(cls)
        unknown.unscorable, unknown._refused = (), None
        if not any(type(each.scoring).unscorable is not Scoring.unscorable for each in scorers):
            unknown._refused = set()  # none of them refuses any
        return unknown

    def is_scorable(self, item: Item) -> bool:
        """Whether no scorer refused an item; False as well if that is not known any longer."""
        return self._refused is not None and item.digest not in self._refused


def _refused(items: Iterable[Item], scorers: Sequence[Scorer]) -> Iterator[tuple[Scorer, Item, str]]:
    """Each refusal, item by item."""
    asked = [each for each in scorers if type(each.scoring).unscorable is not Scoring.unscorable]
    # What reads several parses in the same way says the same of an item each time.
    alike = [next(other for other in asked if _is_same(each, other)) for each in asked]
    rest = iter(items) if asked else iter(())
    while some := list(islice(rest, _TOGETHER)):
        reasons = {id(each): _reasons(each, some) for each in alike}
        for index, item in enumerate(some):
            for scorer, same in zip(asked, alike, strict=True):
                if (reason := reasons[id(same)][index]) is not None:
                    yield scorer, item, reason


def _is_same(one: Scorer, other: Scorer) -> bool:
    return (one.component, one.scoring) == (other.component, other.scoring)


def _reasons(scorer: Scorer, items: list[Item]) -> list[str | None]:
    """What a scorer says of each item."""
    if is_quick(scorer.scoring, "unscorable"):
        try:
            handed = Handed(items=items)
            reasons = each_in_its_time(scorer.component, scorer.scoring, "unscorable", handed["items"])
            handed.check()
            return [None if each is None else str(each) for each in reasons]
        except BaseException as error:  # one by one, each is blamed for what is its own
            if from_outside(error):
                raise
    return [_reason(scorer, item) for item in items]


def _reason(scorer: Scorer, item: Item) -> str | None:
    handed = Handed(item=item)
    try:
        reason = in_its_time(scorer.component, scorer.scoring, "unscorable", handed["item"])
        handed.check()
    except BaseException as error:  # the run shows it, with its message, as what it is
        if from_outside(error):
            raise
        return "metric_error"
    return None if reason is None else str(reason)
