"""What calls cost and may cost, of classes that are nobody's but this test's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from themis_costs import Budget, RunCost, Stopped, Usage, cost_of, estimate_tokens, output_limit, prompt_tokens


@dataclass(frozen=True)
class Rates:
    input_per_million: float = 1e6
    output_per_million: float = 2e6
    cached_input_per_million: float | None = None
    cache_write_per_million: float | None = None
    input_audio_per_million: float | None = None
    reasoning_per_million: float | None = None


@dataclass(frozen=True)
class Price(Rates):
    tiers: Sequence[Rates] = ()

    def rates(self, input_tokens: int) -> Rates:
        return self.tiers[0] if self.tiers and input_tokens > 100 else self


@dataclass(frozen=True)
class Bounds:
    max_calls: int | None = None
    max_cost: float | None = None


@dataclass(frozen=True)
class Call:
    model_id: str = "m"
    messages: list[dict[str, Any]] = field(default_factory=lambda: [{"role": "user", "content": "question 00"}])
    params: dict[str, Any] = field(default_factory=lambda: {"max_tokens": 1})


@dataclass(frozen=True)
class Answer:
    cost: float | None = None
    provider: dict[str, Any] = field(default_factory=dict)


def test_a_long_prompt_is_priced_by_its_tier() -> None:
    price = Price(tiers=[Rates(3e6, 5e6)])
    assert cost_of(Usage(100, 1), price) == 102.0
    assert cost_of(Usage(101, 1), price) == 308.0  # 101 · 3 + 5


def test_what_is_in_flight_is_set_aside_and_settled_by_what_it_cost() -> None:
    budget = Budget(Bounds(max_cost=20))
    first, second = (budget.reserve(Call(), Price()) for _ in range(2))
    assert (first, second) == (8.0, 8.0)  # 6 tokens by estimate, and one of the answer at 2
    assert budget.reserve(Call(), Price()) is None
    for each in (first, second):
        budget.settle(each or 0.0, RunCost(3.0))
    assert budget.reserve(Call(), Price()) == 8.0  # 6 of 20 are spent


def test_what_is_too_dear_alone_stops_all_and_says_why() -> None:
    budget, told = Budget(Bounds(max_cost=5)), list[str]()
    budget.when_stopped.append(lambda: told.append("stopped"))
    with pytest.raises(Stopped):
        budget.reserve(Call(), Price())
    assert (budget.exhausted, told) == (True, ["stopped"])
    assert budget.stopped == "max_cost reached: 0 of 5 spent; the next call may cost 8"


def test_no_call_starts_beyond_max_calls() -> None:
    budget = Budget(Bounds(max_calls=1))
    assert (budget.may_call(), budget.may_call(besides=1)) == (True, False)
    budget.start_call()
    with pytest.raises(Stopped):
        budget.start_call()
    assert budget.stopped == "max_calls reached: 1 call was made"


def test_an_answer_keeps_what_of_its_cost_is_unknown() -> None:
    cost = RunCost(2.0) + RunCost(unknown_calls=1, unknown_most=3.0)
    kept = cost.put_into(Answer(provider={"id": 7}))
    assert (kept.cost, kept.provider["id"]) == (None, 7)
    assert RunCost.of(kept) == cost
    assert RunCost(2.0).put_into(kept) == Answer(2.0, {"id": 7})


def test_tokens_are_estimated_from_characters() -> None:
    parts: list[Any] = [
        {"type": "text", "text": "x" * 40},
        {"type": "image_url", "image_url": {"url": "data:" + "A" * 4000}},
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "y" * 20}, {"role": "user", "content": parts}]
    assert estimate_tokens(messages) == (40 + 20) // 4 + 2 * 4
    assert prompt_tokens(messages) == estimate_tokens(messages) + 1_000


@pytest.mark.parametrize(
    ("params", "most"),
    [
        ({}, None),
        ({"max_tokens": 9}, 9),
        ({"extra_body": {"max_completion_tokens": 9}}, 9),
        ({"extra_body": {"max_new_tokens": 9}}, 9),
        ({"extra_body": {"max_output_tokens": 9}}, 9),
        ({"extra_body": {"num_predict": 9}}, 9),
        ({"max_tokens": 9, "extra_body": {"max_completion_tokens": 12}}, 12),
        ({"max_tokens": 12, "extra_body": {"max_tokens": 9}}, 12),
        ({"max_tokens": 9, "extra_body": {"num_predict": -1}}, None),
        ({"extra_body": {"max_completion_tokens": "9"}}, None),
        ({"extra_body": {"max_completion_tokens": True}}, None),
        ({"extra_body": {"limit": 9}}, None),
    ],
)  # fmt: skip
def test_a_budget_finds_the_limit_of_an_answer_under_the_names_that_servers_have_for_it(
    params: dict[str, Any], most: int | None
) -> None:
    assert output_limit(params) == most


def test_what_was_asked_before_is_set_aside_by_what_is_known_of_it() -> None:
    budget = Budget(Bounds(max_cost=5_000))
    heard = Call(messages=[{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}])
    assert budget.owe(heard, Price()) == 1_006.0  # 1,004 tokens by estimate, and one of the answer at 2
    assert budget.owe(Call(params={}), Price()) == 6.0  # of the prompt alone, as no answer was seen
    assert budget.reserve(heard, Price()) is None  # it would take all that is left, and waits for the others
    budget.cost_of_call(heard, Price(), Usage(3_012, 7))
    assert budget.owe(heard, Price()) == 3_014.0  # three times the estimate
    assert budget.owe(Call(params={}), Price()) == 20.0
