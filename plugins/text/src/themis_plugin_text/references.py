"""What metrics that compare with a reference share: the reference read as texts, and which of them can be used."""

from __future__ import annotations

import json
from abc import abstractmethod
from math import isfinite
from typing import Any, ClassVar, Final, Literal

from themis_core import Generation, Item, Metric, Score

__all__ = ["BAD_REFERENCE", "CORRECT", "WRONG", "ReferenceMetric", "as_text", "reference_texts", "texts_or_none"]

# Made once: most scores are one of these, and nothing changes a record.
CORRECT: Final = Score(1.0)
WRONG: Final = Score(0.0)
BAD_REFERENCE: Final = "bad_reference"


class ReferenceMetric(Metric):
    """A metric that needs a reference: without one that it can use, no answer to the item has a score."""

    runs_in: ClassVar[Literal["inline", "thread", "process"]] = "inline"

    def unscorable(self, item: Item) -> str | None:
        return "no_reference" if item.reference is None else self.problem(item.reference)

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        return self.compare(value, item.reference)

    def problem(self, reference: Any) -> str | None:
        """Why a reference can't be compared with; None if it can. By default it must be texts."""
        return None if reference_texts(reference) else BAD_REFERENCE

    @abstractmethod
    def compare(self, value: Any, reference: Any) -> Score:
        """Score a value against a reference without a problem."""


def as_text(value: Any) -> str:
    """A value as text: text as it is, nothing as no text, numbers and the rest as JSON writes them."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    except (RecursionError, ValueError, TypeError):  # too deep, too many digits, keys that can't be sorted
        return ""


def reference_texts(reference: Any) -> list[str]:
    """The accepted answers: one text, number or boolean, or a list of them; none for anything else."""
    if isinstance(reference, str):
        return [reference]
    every = reference if isinstance(reference, (list, tuple)) else [reference]
    return [as_text(each) for each in every] if all(map(_is_scalar, every)) else []


def texts_or_none(reference: Any) -> list[str]:
    """As `reference_texts`, but an empty list says that there is no answer: then the right one is empty."""
    return [""] if reference == [] else reference_texts(reference)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and isfinite(value))
