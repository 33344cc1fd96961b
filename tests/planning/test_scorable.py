"""Which items no answer to can be scored: each scorer is asked, of items as they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from themis_core import Item, Metric, Score
from themis_core.planning.scorable import unscorable_items


class Indifferent(Metric):
    def score(self, item: Item, generation: Any, value: Any) -> Score:
        return Score(1.0)


class Meddling(Indifferent):
    def unscorable(self, item: Item) -> str | None:
        item.fields["words"].append("mine")
        return None


class Raising(Indifferent):
    def unscorable(self, item: Item) -> str | None:
        raise SystemExit


class Counting(Indifferent):
    def unscorable(self, item: Item) -> str | None:
        return f"{len(item.fields['words'])}_words"


class Items(list[Item]):
    @property
    def count(self) -> Any:
        return len(self)

    def places(self, ids: set[str]) -> dict[str, str]:
        return {each: f"rows:{each}" for each in ids}


def refused(*scorings: Metric) -> list[tuple[str, str, int]]:
    items: Any = Items([Item(str(number), {"words": ["a"]}) for number in range(2)])
    scorers: Any = [
        SimpleNamespace(scoring=each, component="x", score="s", metric=type(each).__name__.lower(), judges=None)
        for each in scorings
    ]
    found = [(each.metric, each.reason, each.items) for each in unscorable_items("test", items, scorers)]
    assert [item.fields["words"] for item in items] == [["a"], ["a"]]
    return found


@pytest.mark.parametrize("culprit", [Meddling(), Raising()], ids=["changes its item", "raises"])
def test_what_one_scorer_does_reaches_no_other(culprit: Metric) -> None:
    name = type(culprit).__name__.lower()
    assert refused(Counting(), culprit, Counting(), Indifferent()) == [
        ("counting", "1_words", 4),
        (name, "metric_error", 2),
    ]


def test_a_scorer_that_can_score_anything_refuses_nothing() -> None:
    assert refused(Indifferent()) == []
    assert refused() == []
