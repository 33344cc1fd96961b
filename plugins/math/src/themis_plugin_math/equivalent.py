"""The metric: whether an answer is the reference, mathematically."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Any, ClassVar, Final

from pydantic import Field

from themis_core import Generation, Item, Metric, Score
from themis_plugin_math.process import shared_worker

__all__ = ["Equivalent"]

MAX_LENGTH: Final = 1_000_000
"""Characters of an answer; the worker bounds what stands in a box further."""


class Equivalent(Metric):
    """1 if the answer is mathematically the reference, else 0. The mean is the accuracy.

    Both are LaTeX, or mathematics as people type it: `\\frac12`, `0.5` and `1/2` are one number, `x=3` is 3, sets and
    lists have no order, tuples and intervals have one. Equality is exact unless a tolerance is given: 0.33 is not 1/3.
    The whole answer is read, or what stands in its boxes (`\\boxed{...}`), which must all have the right value. What
    can't be read in one way is wrong, and the detail `unread` says why. Comparing happens in a process of its own,
    and one that takes too long is unscored (`metric_timeout`). A reference may be a list of accepted ones. Reason:
    `bad_reference` (can't be read).
    """

    version: ClassVar[int] = 1
    not_identity: ClassVar[frozenset[str]] = frozenset({"timeout_s"})

    tolerance: float = Field(0.0, ge=0, description="Greatest difference of two real numbers that count as equal.")
    relative_tolerance: float = Field(
        0.0, ge=0, description="Greatest difference as a share of the reference's size: 0.01 is one per cent."
    )
    percent_as_fraction: bool = Field(True, description="Read `50%` as 0.5; if off, as 50.")
    timeout_s: float = Field(5.0, gt=0, le=600, description="Most seconds for one comparison.")

    def unscorable(self, item: Item) -> str | None:
        if item.reference is None:
            return "no_reference"
        references = _texts(item.reference)
        problems = (_problem(each, self.percent_as_fraction, self.timeout_s) for each in references)
        return next(filter(None, problems), None) if references else "bad_reference"

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        answer = _text(value)
        if answer is None or len(answer) > MAX_LENGTH:
            return Score(0.0, details={"unread": "neither a number nor a text of a usual length"})
        scores = []
        for reference in _texts(item.reference):
            scores.append(self._compare(reference, answer))
            if scores[-1].value == 1.0:
                return scores[-1]
        return next((each for each in scores if not each.scored), scores[0])

    def _compare(self, reference: str, answer: str) -> Score:
        request = {
            "reference": reference,
            "answer": answer,
            "percent_as_fraction": self.percent_as_fraction,
            "tolerance": repr(self.tolerance),
            "relative_tolerance": repr(self.relative_tolerance),
        }
        try:
            reply = shared_worker().ask(request, self.timeout_s)
        except TimeoutError:
            return Score(reason="metric_timeout", details={"error": f"it took longer than {self.timeout_s:g} s"})
        except OSError as error:
            return Score(reason="metric_error", details={"error": str(error)})
        if "error" in reply:
            return Score(reason="metric_error", details={"error": reply["error"]})
        if "unread" in reply:
            return Score(0.0, details={"unread": reply["why"]})
        return Score(float(reply["equal"]))


@lru_cache(maxsize=16_384)
def _problem(reference: str, percent_as_fraction: bool, seconds: float) -> str | None:
    """Why a reference can't be compared with. Kept, for it is asked in planning and again for each answer."""
    if len(reference) > MAX_LENGTH:
        return "bad_reference"
    request = {"reference": reference, "answer": None, "percent_as_fraction": percent_as_fraction}
    try:
        reply = shared_worker().ask(request, seconds)
    except TimeoutError:
        return "metric_timeout"
    return "bad_reference" if "unread" in reply else "metric_error" if "error" in reply else None


def _texts(reference: Any) -> list[str]:
    """The accepted answers; none if one of them is neither text nor number."""
    every = list(map(_text, reference if isinstance(reference, (list, tuple)) else [reference]))
    return [each for each in every if each is not None] if None not in every else []


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not isfinite(value):
        return None
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return None
