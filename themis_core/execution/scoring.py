"""Reads and scores one answer: parse, then metric. A component that fails costs its own score and nothing else.

What the model did wrong (refused, empty, unparsed) gets the metric's worst value; what could not be scored gets a
reason and no value.

Everything here is steps: a generator that yields the calls of components which it needs, is sent what they returned (or
thrown what they raised), and returns what came of it all. Where a call is made is not decided here: `here` makes them
in this thread, and a run in its lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from math import isclose
from typing import Any, Final, Literal, NamedTuple, TypeVar

from themis_core.components import Component, Extractor
from themis_core.execution.returned import as_extraction, as_score
from themis_core.plugins import Chain, Scorer, from_outside, in_its_time, made, told
from themis_core.records import SCORE_FAULTS, Extraction, Generation, Item, Score
from themis_lanes import Raised
from themis_plain import Handed

__all__ = [
    "Call", "Steps", "accepted", "asking", "broken", "here", "measuring", "nothing_to_read", "reading", "throwable",
    "unjudged", "unscorable",
]  # fmt: skip

T = TypeVar("T")

_MORE: Final = ("5", " 5", "e", " (A) (B)")
"""How a text that was cut off may have gone on: within its last word or number, and with further ones."""


class Call(NamedTuple):
    """A call of a method of an extractor, metric or judge."""

    name: str
    """Of the component, for people."""
    component: Component
    method: str
    args: tuple[Any, ...]

    def make(self) -> Any:
        """Make it outside of a run's lanes. Raises Overdue if it takes too long."""
        return in_its_time(self.name, self.component, self.method, *self.args)

    def bare(self) -> Any:
        return made(self.component, self.method, self.args)


Steps = Generator[Call, Any, T]


def throwable(error: BaseException) -> BaseException:
    """What a call raised, as it may be thrown into steps: generators take some exceptions for their own end."""
    if isinstance(error, GeneratorExit | StopIteration):
        return Raised(type(error).__name__, str(error))
    return error


def here(steps: Steps[T]) -> T:
    """What comes of steps whose calls are all made in this thread."""
    try:
        call = next(steps)
        while True:
            try:
                returned = call.make()
            except BaseException as error:  # noqa: BLE001 - the steps say what becomes of it
                call = steps.throw(throwable(error))
            else:
                call = steps.send(returned)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def reading(chain: Chain | None, generation: Generation) -> Steps[Extraction | Score | None]:
    """What the score's parse finds; None if the raw answer is scored, or if there is no answer to read.

    A score, without a value, is what an extractor's failure comes to: it says nothing of the answer, so it ends the
    chain. What a further extractor found would be another result than that of the chain as the spec has it.
    What would be another value, had an answer gone on that was cut off at a length limit, is not found: `cut_off`.
    """
    if chain is None or generation.status in ("refused", "empty"):
        return None
    found, extractor = yield from _read(chain, generation.text)
    if generation.status != "truncated" or extractor is None or extractor.rewrites or _is_one_letter(generation.text):
        return found
    for more in _MORE:
        other, _ = yield from _read(chain, generation.text + more)
        if other != found:
            return other if isinstance(other, Score) else Extraction(reason="cut_off")
    return found


def _is_one_letter(text: str) -> bool:
    """Whether a text is a letter and marks: a choice that was asked for with `max_tokens: 1` is whole."""
    word = [char for char in text if char.isalnum()] if len(text) < 20 else []
    return len(word) == 1 and word[0].isalpha()


def _read(chain: Chain, text: str) -> Steps[tuple[Extraction | Score, Extractor | None]]:
    """What a chain finds in a text, and the extractor that found it."""
    for component, extractor in chain.prepare:
        found = yield from _extract(component, extractor, text)
        if isinstance(found, Score) or not found.parsed:
            return found, None
        text = found.value if isinstance(found.value, str) else str(found.value)
    found = Extraction(reason="no_match")
    for component, extractor in chain.extractors:
        found = yield from _extract(component, extractor, text)
        if isinstance(found, Score):
            return found, None
        if found.parsed:
            return found, extractor
    return found, None


def _extract(component: str, extractor: Extractor, text: str) -> Steps[Extraction | Score]:
    try:
        found = as_extraction((yield Call(component, extractor, "extract", (text,))))
    except BaseException as error:  # noqa: BLE001 - a plugin's bug costs this extraction only
        return broken(component, "extract", error, "extractor")
    if found.reason in SCORE_FAULTS:
        return Score(reason=found.reason, details=_told(component, "extract", SCORE_FAULTS[found.reason]))
    return found


def asking(scorer: Scorer, method: str, accept: Callable[[Any], T], **originals: Any) -> Steps[T | Score]:
    """What a method of a metric or judge returns, as `accept` takes it, or the score that its failure comes to.

    It is handed a copy of each argument, in their order.
    """
    try:
        handed = Handed(**originals)
        result = accept((yield Call(scorer.component, scorer.scoring, method, handed.copies)))
        handed.check()
        return result
    except BaseException as error:  # noqa: BLE001 - a plugin's bug costs this score only
        return broken(scorer.component, method, error)


def unscorable(scorer: Scorer, item: Item) -> Steps[Score | None]:
    """The score, without a value, of every answer to an item that can't be scored; None for all other items."""

    def accept(reason: Any) -> Score | None:
        return None if reason is None else accepted(scorer, Score(reason=reason))

    return asking(scorer, "unscorable", accept, item=item)


def unjudged(
    scorer: Scorer, item: Item, generation: Generation, is_scorable: bool, read: dict[str, Extraction | Score | None]
) -> Steps[tuple[Score | None, Extraction | None]]:
    """The score of an answer, with what was read in it; none if it is for judges to give. `is_scorable`: the scorer
    was asked about the item, and had nothing against it. `read` is what parses found in the answer so far, by their
    names: scores that share one read the answer once."""
    if not is_scorable:
        unscored = yield from unscorable(scorer, item)
        if unscored is not None:
            return unscored, None
    chain = scorer.chain
    if chain is not None and chain.name not in read:
        read[chain.name] = yield from reading(chain, generation)
    extraction = None if chain is None else read[chain.name]
    if isinstance(extraction, Score):  # a component failed at it
        return extraction, None
    if scorer.judges is None or (scorer.judges and nothing_to_read(generation, extraction)):
        return (yield from measuring(scorer, item, generation, extraction)), extraction
    return None, extraction


def measuring(scorer: Scorer, item: Item, generation: Generation, extraction: Extraction | None) -> Steps[Score]:
    """The score that a metric gives, or that of an answer which no judge is asked about; `extraction` is what
    `reading` gave."""
    accept = partial(accepted, scorer)
    if generation.status == "empty" or (extraction is not None and extraction.reason == "empty"):
        return asking(scorer, "empty", accept, item=item, generation=generation)
    if nothing_to_read(generation, extraction):
        return asking(scorer, "worst", accept, item=item, generation=generation)
    value = extraction.value if extraction is not None else generation.text
    return asking(scorer, "score", accept, item=item, generation=generation, value=value)


def accepted(scorer: Scorer, returned: Any) -> Score:
    """What a metric or judge returned, as a plain score in the range that it declares; what is outside is unscored.

    A value beyond an end by a rounding error is that end. Raises TypeError or ValueError for what is no score.
    """
    score = as_score(returned)
    low, high = scorer.scoring.lowest, scorer.scoring.highest
    if (value := score.value) is not None:
        end = low if low is not None and value < low else high if high is not None and value > high else None
        if end is None:
            return score
        if isclose(value, end, rel_tol=1e-9, abs_tol=1e-9):
            return replace(score, value=float(end))
        told = f"{value:g} is not in the declared range from {_bound(low)} to {_bound(high)}"
        score = Score(reason="out_of_range", details={"value": value, "error": told})
    if score.reason in SCORE_FAULTS:
        named = {"component": scorer.component, "error": SCORE_FAULTS[score.reason]}
        return replace(score, details={**named, **score.details})
    return score


def _bound(end: float | None) -> str:
    return "any number" if end is None else f"{end:g}"


def nothing_to_read(generation: Generation, extraction: Extraction | None) -> bool:
    """Whether the answer is scored without being looked at, and no judge is asked about it."""
    return generation.status in ("refused", "empty") or (extraction is not None and not extraction.parsed)


def broken(component: str, method: str, error: BaseException, kind: Literal["extractor", "metric"] = "metric") -> Score:
    """What an exception in an extractor, metric or judge becomes: it costs this score only.

    Raises it again if it came from outside.
    """
    if from_outside(error):
        raise error
    reason = f"{kind}_timeout" if isinstance(error, TimeoutError) else f"{kind}_error"
    return Score(reason=reason, details=_told(component, method, told(error)))


def _told(component: str, method: str, error: str) -> dict[str, str]:
    return {"component": component, "method": method, "error": error}
