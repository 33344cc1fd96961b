"""Which items no answer to can be scored: each scorer is asked, of items as they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from themis_core import Item, Metric, Score
from themis_core.planning.scorable import MOST_HELD, Asked


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

    def is_counted(self, item: Item) -> bool:
        return True

    def places(self, ids: set[str]) -> dict[str, str]:
        return {each: f"rows:{each}" for each in ids}


def refused(*scorings: Metric) -> list[tuple[str, str, int]]:
    items: Any = Items([Item(str(number), {"words": ["a"]}) for number in range(2)])
    scorers: Any = [
        SimpleNamespace(scoring=each, component="x", score="s", metric=type(each).__name__.lower(), judges=None)
        for each in scorings
    ]
    found = [(each.metric, each.reason, each.items) for each in Asked("test", items, scorers).unscorable]
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


class Short(Indifferent):
    runs_in = "inline"

    def unscorable(self, item: Item) -> str | None:
        return "too_short" if len(item.fields["words"]) < 2 else None


class Sulking(Short):
    def unscorable(self, item: Item) -> str | None:
        if item.id == "70":
            raise ValueError("not that one")
        if item.id == "80":
            item.fields["words"].append("mine")
        return super().unscorable(item)


@pytest.mark.parametrize("metric", [Indifferent(), Short(), Sulking()])
def test_one_item_of_many_is_blamed_alone(metric: Metric) -> None:
    items: Any = Items([Item(str(n), {"words": ["a"] * (1 if n == 75 else 2)}, digest=str(n)) for n in range(200)])
    scorers: Any = [SimpleNamespace(scoring=metric, component="x", score=s, metric="m", judges=None) for s in "ab"]
    asked = Asked("test", items, scorers)
    refused = [str(n) for n in range(200) if not asked.is_scorable(items[n])]
    told = [(each.score, each.reason, each.items) for each in asked.unscorable]
    if isinstance(metric, Sulking):
        assert refused == ["70", "75", "80"]
        assert sorted(told) == [(s, *of) for s in "ab" for of in (("metric_error", 2), ("too_short", 1))]
    elif isinstance(metric, Short):
        assert (refused, told) == (["75"], [("a", "too_short", 1), ("b", "too_short", 1)])
    else:
        assert (refused, told) == ([], [])


def test_of_too_many_refused_items_none_is_known_to_be_scorable() -> None:
    items: Any = Items([Item(str(n), {"words": ["a"]}, digest=str(n)) for n in range(MOST_HELD + 1)])
    scorers: Any = [SimpleNamespace(scoring=Short(), component="x", score="s", metric="m", judges=None)]
    scorable = Item("new", {"words": ["a", "b"]}, digest="new")
    assert not Asked("test", items, scorers).is_scorable(scorable), "it is to be asked of again"
    items.pop()
    assert Asked("test", items, scorers).is_scorable(scorable)
