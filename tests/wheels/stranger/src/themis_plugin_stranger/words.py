"""Words: one to find in an answer, and how much of it is right."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from pydantic import Field

from themis_core import Extraction, Extractor, Generation, Item, Metric, Score

__all__ = ["LastWord", "SharedPrefix"]


class LastWord(Extractor):
    """Finds the last word, without the marks around it."""

    marks: str = Field(".,;:!?", description="Characters that belong to no word.")

    def extract(self, text: str) -> Extraction:
        words = text.split()
        word = words[-1].strip(self.marks) if words else ""
        return Extraction(value=word) if word else Extraction(reason="no_word")


class SharedPrefix(Metric):
    """The share of the reference's letters with which the answer begins."""

    def unscorable(self, item: Item) -> str | None:
        if item.reference is None:
            return "no_reference"
        return None if isinstance(item.reference, str) and item.reference else "bad_reference"

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(item.reference, str(value), strict=False))
        shared = "".join(letter for letter, _ in alike)
        return Score(value=len(shared) / len(item.reference), details={"shared": shared})
