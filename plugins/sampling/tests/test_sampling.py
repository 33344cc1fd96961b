"""Which items are taken, and which examples are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from themis_sampling import Example, Examples, Strata, allot, rank


def test_the_rank_is_the_published_hash() -> None:
    # printf '7\0q1' | sha256sum | cut -c1-16, on any machine
    assert f"{rank(7, 'q1'):016x}" == "32012d71f1add35d"


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        (10, {"a": 50, "b": 30, "c": 20}, {"a": 5, "b": 3, "c": 2}),  # no remainders
        (10, {"a": 2, "b": 2, "c": 2}, {"a": 4, "b": 3, "c": 3}),  # 3⅓ each: the tie goes by name
        (5, {"a": 47, "b": 16, "c": 37}, {"a": 2, "b": 1, "c": 2}),  # 2.35, 0.80, 1.85: two largest remainders
        (2, {"a": 98, "b": 1, "c": 1}, {"a": 2, "b": 0, "c": 0}),  # 1.96, 0.02, 0.02
        (3, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 1}),
    ],
)
def test_strata_share_by_largest_remainder(count: int, sizes: dict[str, int], expected: dict[str, int]) -> None:
    assert allot(count, sizes) == expected


def test_of_each_stratum_the_items_of_smallest_rank_are_taken_whatever_their_order() -> None:
    names = [f"item {number}" for number in range(50)]

    def taken(order: list[str]) -> set[str]:
        strata = Strata(5, 3)
        for ordinal, name in enumerate(order):
            strata.add(ordinal, name, name[-1])
        return {order[ordinal] for ordinal in strata.chosen()}

    assert taken(names) == taken(names[::-1])
    first = {digit: min((n for n in names if n[-1] == digit), key=lambda n: rank(3, n)) for digit in "01234"}
    assert taken(names) == {*first.values()}  # ten strata of equal size and five places: the first by name


@dataclass(frozen=True)
class Asked:
    id: str
    fields: dict[str, Any] = field(default_factory=dict)


def shown(*questions: str) -> list[Example]:
    return [Example({"q": each}, each, stratum=each[0]) for each in questions]


def test_an_item_that_is_no_example_is_shown_those_of_the_prompt() -> None:
    assert Examples(shown("a1", "b1")).own(Asked("c", {"q": "another"}), "another") is None


def test_an_item_is_shown_another_example_of_the_same_stratum_in_the_place_of_itself() -> None:
    examples = Examples(shown("a1", "b1"), lambda: shown("a2", "b2"), by_id=True)
    own = examples.own(Asked("b1"), "?")
    assert own is not None
    assert ([each["q"] for each in own.data], own.left_out) == (["a1", "b2"], 0)


def test_without_another_one_it_is_left_out_and_counted() -> None:
    own = Examples(shown("a1", "b1"), by_id=True).own(Asked("b1"), "?")
    assert own is not None
    assert ([each["q"] for each in own.data], own.left_out) == (["a1"], 1)


def test_an_equal_question_is_the_same_item_whatever_its_white_space_and_case() -> None:
    examples = Examples(shown("Who was first?", "When?"), ask=lambda data: f"Q: {data['q']}")
    assert examples.own(Asked("x"), "q:  WHO was\nfirst?") is not None
    assert examples.own(Asked("x"), "q: who was last?") is None
