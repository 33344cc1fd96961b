"""What metrics that compare with a reference share: the reference read as texts, and what its absence gives."""

from __future__ import annotations

import json
from abc import abstractmethod
from math import isfinite
from typing import Any, Final

from themis_core import Generation, Item, Metric, Score

__all__ = ["BAD_REFERENCE", "CORRECT", "NO_REFERENCE", "WRONG", "ReferenceMetric", "as_text", "reference_texts"]

# Made once: most scores are one of these, and nothing changes a record.
CORRECT: Final = Score(1.0)
WRONG: Final = Score(0.0)
NO_REFERENCE: Final = Score(reason="no_reference")
BAD_REFERENCE: Final = Score(reason="bad_reference")


class ReferenceMetric(Metric):
    """A metric that gives no score, not even its worst, to an item without a reference."""

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        if item.reference is None:
            return NO_REFERENCE
        return self.compare(value, item.reference)

    def worst(self, item: Item, generation: Generation) -> Score:
        return NO_REFERENCE if item.reference is None else super().worst(item, generation)

    @abstractmethod
    def compare(self, value: Any, reference: Any) -> Score:
        """Score a value against a reference that is there."""


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


def reference_texts(reference: Any) -> list[str] | None:
    """The accepted answers: one text, number or boolean, or a list of them; None for anything else, or no answer."""
    if isinstance(reference, str):
        return [reference]
    every = reference if isinstance(reference, (list, tuple)) else [reference]
    if not every or not all(_is_scalar(each) for each in every):
        return None
    return [as_text(each) for each in every]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and isfinite(value))
