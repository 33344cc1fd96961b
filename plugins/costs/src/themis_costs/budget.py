"""What a run may spend, what its calls cost, and the most that they can have cost. It makes no call.

What a call can cost at most is reserved before it starts and settled when it ends, so calls in flight overspend
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from themis_costs.costs import RunCost
from themis_costs.needed import Bounds, Call, Price, Rates
from themis_costs.purse import PurseNeed, PursePart
from themis_costs.usage import Usage
from themis_wording import counted

__all__ = [
    "ASSUMED_TOKENS",
    "Budget",
    "NOTHING",
    "Stopped",
    "cost_of",
    "foreseen_cost",
    "estimate_tokens",
    "output_limit",
    "prompt_tokens",
]

ASSUMED_TOKENS = 4096
"""Taken for the most that an answer can have, where `max_tokens` is not set and the server does not say."""

OF_PARTS: Final[Mapping[Any, int]] = {"image_url": 1_000, "input_audio": 1_000, "file": 5_000}
"""Type of a part to the tokens that it is taken for before a provider has counted: those of a large image, of a minute
or two of sound, of a paper of some pages."""
LIMITS = (
    "max_tokens", "max_completion_tokens", "max_new_tokens", "max_output_tokens", "max_gen_tokens", "max_length",
    "maxOutputTokens", "maxTokens", "n_predict", "num_predict",
)  # fmt: skip
"""Keys of a request body by which servers are told the most tokens that an answer may have."""

NOTHING: Final = RunCost()
"""What a call costs that nothing is paid for."""


class Stopped(Exception):
    """No further call may start: the run is ending. It never leaves the execution."""

    cost: RunCost | None = None
    """What the attempts before cost, if they cost anything."""


@dataclass(slots=True)
class Budget:
    """What this execution has spent, and whether it may go on; shared by all endpoints."""

    policy: Bounds
    before: RunCost = NOTHING
    """Cost of the run's earlier executions, which counts towards `max_cost`."""
    calls: int = 0
    cost: RunCost = NOTHING
    """Of this execution."""
    part: PursePart | None = None
    """This process's part of `max_cost`, if several spend that together."""
    priced: bool = False
    """Whether any model has a price: the cost of one without is then unknown, and said to be."""
    stopped: str | None = None
    """Why no further call may start."""
    exhausted: bool = False
    """True if the reason is money: a budget or the provider's quota."""
    interrupted: bool = False
    """True if it is the user, who does not want to wait for more than what is paid for."""
    when_stopped: list[Callable[[], object]] = field(default_factory=list)
    """Called when it stops, and when the user interrupts what goes on then."""
    in_flight: int = 0
    """Calls that have started and not ended."""
    _reserved: float = 0.0
    _reservations: int = 0
    _longest: dict[str, int] = field(default_factory=dict)
    """By model: the most output tokens of an answer."""
    _ratios: dict[tuple[str, frozenset[str]], float] = field(default_factory=dict)
    """By model and the kinds of parts: the most input tokens for one that was estimated; at least 1."""
    _dearest: dict[str, float] = field(default_factory=dict)
    """By model: the most that a call cost of which the engine itself said so."""

    def stop(self, reason: str, *, exhausted: bool = False, interrupted: bool = False) -> None:
        if self.stopped is not None and (self.interrupted or not interrupted):
            return
        if self.stopped is None:
            self.stopped, self.exhausted = reason, exhausted
        self.interrupted = interrupted
        for tell in self.when_stopped:
            tell()

    def start_call(self) -> None:
        """Count a call that is about to start. Raises Stopped if it may not."""
        policy = self.policy
        if policy.max_calls is not None and self.calls >= policy.max_calls:
            self.stop(f"max_calls reached: {counted(self.calls, 'call', 'was', 'were')} made", exhausted=True)
        if self.stopped is not None:
            raise Stopped
        self.calls += 1
        self.in_flight += 1

    def may_call(self, besides: int = 0) -> bool:
        """Whether another call may start beside so many that are about to."""
        limit = self.policy.max_calls
        return self.stopped is None and (limit is None or self.calls + besides < limit)

    def end_call(self) -> None:
        self.in_flight -= 1

    def reserve(self, request: Call, price: Price | None, *, tells: bool = False) -> float | None:
        """Set aside what a call can cost at most; None if it has to wait for those in flight.

        Raises Stopped if it is too much even alone. A call of which nothing is known takes all that is left, and so
        does the first with images, sound or files, whose tokens are the provider's to say. `tells`: the engine says
        what each call cost.
        """
        limit = self.policy.max_cost
        if limit is None or (price is None and not tells):
            return 0.0
        most = self._dearest.get(request.model_id) if price is None else self._most(request, price)
        if self.part is not None:
            return self._reserve_of_part(self.part, most)
        left = limit - (self.before + self.cost).most
        if left <= 0 or (most or 0.0) > left * (1 + 1e-9):
            if not self._reservations:
                self.stop(self._reached(limit, most), exhausted=True)
                raise Stopped
            return None
        wanted = left if most is None else most
        if self._reservations and self._reserved + wanted > left * (1 + 1e-9):
            return None
        return self._set_aside(wanted)

    def _reserve_of_part(self, part: PursePart, most: float | None) -> float | None:
        if part.left <= 0 or (most or 0.0) > part.left * (1 + 1e-9):
            if not self._reservations:
                self.stop(self._reached(part.limit, most), exhausted=True)
                raise Stopped
            return None
        wanted = part.take(most, self.cost.most, self._reserved, time.monotonic())
        return None if wanted is None else self._set_aside(wanted)

    def ask(self, now: float, *, keeps: bool = True) -> PurseNeed | None:
        """What to tell of this process's part of `max_cost`, if it has one; `keeps` as for `PursePart.need`."""
        if self.part is None:
            return None
        return self.part.need(self.cost.most, self._reserved, now, keeps=keeps)

    def _set_aside(self, most: float) -> float:
        self._reserved += most
        self._reservations += most > 0
        return most

    def owe(self, request: Call, price: Price | None) -> float:
        """Set aside what a call can cost at most that was made before: it is paid for, whatever the limit says.

        Where nothing says how much that is, the estimate of its prompt is, and its limit or the longest answer so far.
        """
        if self.policy.max_cost is None or price is None:
            return 0.0
        return self._set_aside(self._foreseen(request, price, self._longest.get(request.model_id, 0)))

    def _reached(self, limit: float, most: float | None) -> str:
        if self.part is not None:
            of_all, lost = limit - self.part.left - self.part.lost, self.part.lost
            told = (
                f"max_cost reached: {of_all:.4g} of {limit:g} spent by all processes of this run, earlier ones included"
            )
            if lost > 0:
                told += (
                    f", and {lost:.4g} held for calls of processes that were lost, which is free again "
                    "when the same command begins with none of the run at work"
                )
            return told if most is None or self.part.left <= 0 else f"{told}; the next call may cost {most:.4g}"
        spent = self.before + self.cost
        told = f"max_cost reached: {spent.known or 0.0:.4g} of {limit:g} spent"
        if self.before.most:
            told += " (earlier executions of this run included)"
        if spent.unknown_most:
            told += f", and up to {spent.unknown_most:.4g} by {counted(spent.unknown_calls, 'call')} of unknown cost"
        return told if most is None or spent.most >= limit else f"{told}; the next call may cost {most:.4g}"

    def settle(self, reserved: float, cost: RunCost = NOTHING) -> None:
        """Count what a call cost in the place of what was reserved for it."""
        if reserved > 0:
            self._reservations -= 1
            self._reserved = self._reserved - reserved if self._reservations else 0.0
        if cost is not NOTHING:
            self.cost += cost

    def cost_of_call(
        self,
        request: Call,
        price: Price | None,
        usage: Usage | None,
        *,
        billed: bool = True,
        said: Sequence[str] = (),
        told: float | None = None,
    ) -> RunCost:
        """What a call cost: known from its usage, or the most that it can have been.

        With `billed` false, a call without usage cost nothing. `said` are the texts that arrived. `told` is what the
        engine says of the cost, which counts where price and usage don't say it.
        """
        usable = usage if usage is not None and _is_usable(usage, any(said)) else None
        sound = _has_sound(request)
        apart = sound and price is not None and _prices_sound_apart(price)
        if usable is not None and not apart and (known := cost_of(usable, price)) is not None:
            self._learn(request, usable)
            return RunCost(known)
        if told is not None:
            self._dearest[request.model_id] = max(told, self._dearest.get(request.model_id, 0.0))
            return RunCost(told)
        if not billed and usable is None:
            return RunCost()
        if price is None:
            return RunCost(unknown_calls=1, unknown_most=None) if self.priced else RunCost()
        if usable is not None:  # counted, but not in the parts that prices are for
            self._learn(request, usable)
            most = _most_of(usable.input_tokens or 0, usable.output_tokens or 0, price, sound=sound)
            return RunCost(unknown_calls=1, unknown_most=most)
        choices = request.params.get("n") or 1
        limit = output_limit(request.params)
        tokens = (limit or ASSUMED_TOKENS) * choices
        if limit is None:  # no token is shorter than a byte
            tokens = max(tokens, sum(len(each.encode("utf-8", "replace")) for each in said))
        self._learn(request, Usage(0, tokens))
        return RunCost(unknown_calls=1, unknown_most=_most_of(self._input(request), tokens, price, sound=sound))

    def _learn(self, request: Call, usage: Usage) -> None:
        model, kinds = request.model_id, _media_of(request.messages)
        answers = request.params.get("n") or 1
        self._longest[model] = max(self._longest.get(model, 0), -(-(usage.output_tokens or 0) // answers))
        if usage.input_tokens:
            ratio = usage.input_tokens / max(prompt_tokens(request.messages), 1)
            self._ratios[model, kinds] = max(self._ratios.get((model, kinds), 1.0), ratio)

    def _input(self, request: Call) -> int:
        ratio = self._ratios.get((request.model_id, _media_of(request.messages)), 1.0)
        return round(prompt_tokens(request.messages) * ratio)

    def _most(self, request: Call, price: Price) -> float | None:
        """What a call can cost at most; None before an answer was paid for that says how long they are, if no limit
        does, or what its images, sound or files are counted as."""
        kinds = _media_of(request.messages)
        if kinds and (request.model_id, kinds) not in self._ratios:
            return None
        longest = self._longest.get(request.model_id)
        if longest is None and output_limit(request.params) is None:
            return None
        return self._foreseen(request, price, longest or 0)

    def _foreseen(self, request: Call, price: Price, longest: int) -> float:
        limit = output_limit(request.params)
        tokens = (longest if limit is None else limit) * (request.params.get("n") or 1)
        return _most_of(self._input(request), tokens, price, sound=_has_sound(request))


def _is_usable(usage: Usage, said: bool) -> bool:
    """Whether counts can be those of a call: every prompt has tokens, and so has every answer that says something."""
    return bool(usage.input_tokens) and (bool(usage.output_tokens) or (usage.output_tokens == 0 and not said))


def cost_of(usage: Usage, price: Price | None) -> float | None:
    """Cost of one answer; None without a price, or without a token count that it depends on."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    rates = price.rates(usage.input_tokens)
    given, reasoning = usage.output_tokens, usage.reasoning_tokens
    if rates.reasoning_per_million in (None, rates.output_per_million):
        reasoning = 0
    elif reasoning is None:
        return None
    reasoning = min(reasoning, given)
    read, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    tokens = (max(usage.input_tokens - read - written, 0), read, written, given - reasoning, reasoning)
    prices = (*_input_prices(rates), *_output_prices(rates))
    return sum(count * each for count, each in zip(tokens, prices, strict=True)) / 1e6


def foreseen_cost(request: Call, taken: int, given: int, price: Price | None) -> float | None:
    """Cost of so many input and output tokens, if none is of a cache and all are of what is dearest in the request."""
    if price is None:
        return None
    rates = price.rates(taken)
    fresh = max(rates.input_per_million, (rates.input_audio_per_million or 0.0) if _has_sound(request) else 0.0)
    return (taken * fresh + given * max(_output_prices(rates))) / 1e6


def _most_of(taken: int, given: int, price: Price, *, sound: bool = False) -> float:
    """Cost of so many input and output tokens if the dearest is done with them, such as writing them to a cache."""
    # All tiers, for the estimate of the input may be on the wrong side of a bound.
    every: list[Rates] = [price, *price.tiers]
    inputs, outputs = (max(p for each in every for p in of(each)) for of in (_input_prices, _output_prices))
    if sound:
        inputs = max(inputs, *(each.input_audio_per_million or 0.0 for each in every))
    return (taken * inputs + given * outputs) / 1e6


def _input_prices(price: Rates) -> tuple[float, float, float]:
    """Of a million tokens of the prompt that are fresh, read from the provider's cache, and written to it."""
    fresh = price.input_per_million
    special = (price.cached_input_per_million, price.cache_write_per_million)
    read, written = (fresh if each is None else each for each in special)
    return fresh, read, written


def _output_prices(price: Rates) -> tuple[float, float]:
    """Of a million tokens of the answer, and of its reasoning."""
    answer, reasoning = price.output_per_million, price.reasoning_per_million
    return answer, answer if reasoning is None else reasoning


def output_limit(params: Mapping[str, Any]) -> int | None:
    """The most tokens that an answer may have: `max_tokens`, or what a server calls it in `extra_body` or `extras`.

    Of several the largest, and None if one of them is no limit (-1, null, a text).
    """
    body = {**params.get("extra_body", {}), **params.get("extras", {})}
    given = [each[name] for each, names in ((params, LIMITS[:1]), (body, LIMITS)) for name in names if name in each]
    if not given or any(type(each) is not int or each < 1 for each in given):
        return None
    return int(max(given))


def estimate_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """A rough count of the tokens of a prompt's text: a quarter of its characters, plus four a message."""
    characters = 0
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            characters += len(content)
        else:
            characters += sum(len(part.get("text", "")) for part in content)
    return characters // 4 + 4 * len(messages)


def prompt_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """A rough count of a prompt's tokens: those of its text, and `OF_PARTS`."""
    parts = (part for each in messages if isinstance(each["content"], list) for part in each["content"])
    return estimate_tokens(messages) + sum(OF_PARTS.get(part.get("type"), 0) for part in parts)


def _media_of(messages: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The types of parts of a prompt that are no text."""
    listed = [each["content"] for each in messages if type(each["content"]) is list]
    return frozenset(part["type"] for parts in listed for part in parts if part.get("type") in OF_PARTS)


def _has_sound(request: Call) -> bool:
    return "input_audio" in _media_of(request.messages)


def _prices_sound_apart(price: Price) -> bool:
    every: list[Rates] = [price, *price.tiers]
    return any(each.input_audio_per_million not in (None, each.input_per_million) for each in every)
