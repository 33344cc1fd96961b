"""Metrics that ask whether an answer is, contains or matches a text."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import cached_property
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, field_validator

from themis_core import Generation, Item, Metric, Score
from themis_patterns import Pattern, compile_pattern
from themis_plugin_text.references import (
    BAD_REFERENCE,
    CORRECT,
    WRONG,
    ReferenceMetric,
    as_text,
    reference_texts,
    texts_or_none,
)
from themis_plugin_text.words import visible

__all__ = ["Contains", "ExactMatch", "RegexMatch"]

_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)
_ASCII_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


class _Normalising(ReferenceMetric):
    version: ClassVar[int] = 2

    strip: bool = Field(True, description="Ignore white space at both ends.")
    unicode: bool = Field(
        False,
        description="Compare after Unicode NFKC, so that `１` and `ﬁ` are `1` and `fi`, and without what shows "
        "nothing: zero-width characters, soft hyphens, marks of direction, byte order marks.",
    )
    ignore_case: bool = Field(False, description="Compare after folding the case.")
    ignore_punctuation: bool = Field(False, description="Leave out punctuation and symbols (Unicode P and S).")
    ignore_articles: bool = Field(False, description="Leave out the English words a, an and the.")
    ignore_whitespace: bool = Field(False, description="Leave out all white space.")

    @cached_property
    def _only_strips(self) -> bool:
        return not (
            self.unicode
            or self.ignore_case
            or self.ignore_punctuation
            or self.ignore_articles
            or self.ignore_whitespace
        )

    def normalise(self, text: str) -> str:
        """The text as it is compared. Articles leave one space where they stood."""
        if self._only_strips:
            return text.strip() if self.strip else text
        if self.unicode:
            text = unicodedata.normalize("NFKC", visible(text))
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = _without_punctuation(text)
        if self.ignore_articles:
            text = " ".join(_ARTICLES.sub(" ", text).split())
        if self.ignore_whitespace:
            return "".join(text.split())
        return text.strip() if self.strip else text


def _without_punctuation(text: str) -> str:
    if text.isascii():
        return text.translate(_ASCII_PUNCTUATION)
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PS")


class ExactMatch(_Normalising):
    """1 if the answer equals the reference, or one of a list of references, after normalisation; else 0. The mean is
    the accuracy.

    Numbers and booleans are compared as JSON writes them. An empty answer is right if the reference is empty: a text
    that normalisation leaves empty, or an empty list, as SQuAD 2 says that there is no answer. Reason: `bad_reference`
    (a mapping, say).
    """

    def problem(self, reference: Any) -> str | None:
        return None if texts_or_none(reference) else BAD_REFERENCE

    def empty(self, item: Item, generation: Generation) -> Score:
        return self.compare("", item.reference)

    def compare(self, value: Any, reference: Any) -> Score:
        answer = self.normalise(value if type(value) is str else as_text(value))
        if type(reference) is str:
            return CORRECT if answer == self.normalise(reference) else WRONG
        return CORRECT if any(answer == self.normalise(each) for each in texts_or_none(reference)) else WRONG


class Contains(_Normalising):
    """1 if the answer contains the reference, or any or all of a list of references, after normalisation; else 0.

    Reason: `bad_reference` (a mapping, an empty list, or a text that normalisation leaves empty).
    """

    mode: Literal["any", "all"] = Field("any", description="Whether one or all of a list of references must be there.")

    def problem(self, reference: Any) -> str | None:
        wanted = [self.normalise(each) for each in reference_texts(reference)]
        return None if wanted and all(wanted) else BAD_REFERENCE

    def compare(self, value: Any, reference: Any) -> Score:
        answer = self.normalise(as_text(value))
        found = (self.normalise(each) in answer for each in reference_texts(reference))
        return CORRECT if (any(found) if self.mode == "any" else all(found)) else WRONG


class RegexMatch(Metric):
    """1 if the answer matches a regular expression, else 0.

    The pattern is that of the config or, without one, the item's reference (of a list, any one of them). Reasons:
    `no_reference`; `bad_reference` (no regular expression); `metric_timeout` (it could not be decided, and is tried
    again by the next run). An empty answer is right if it matches.
    """

    runs_in = "inline"

    version: ClassVar[int] = 2
    not_identity: ClassVar[frozenset[str]] = frozenset({"timeout_s"})

    pattern: str | None = Field(None, description="Regular expression; by default the item's reference is one.")
    mode: Literal["search", "fullmatch"] = Field("search", description="Match somewhere, or the whole answer.")
    ignore_case: bool = Field(False, description="Ignore the case of letters.")
    timeout_s: float = Field(1.0, gt=0, le=60, description="Most seconds of CPU that one pattern may take.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            compile_pattern(pattern)
        return pattern

    def unscorable(self, item: Item) -> str | None:
        if self.pattern is not None:
            return None
        if item.reference is None:
            return "no_reference"
        patterns = self._patterns(item)
        if not isinstance(patterns, list) or not patterns or not all(isinstance(each, str) for each in patterns):
            return BAD_REFERENCE
        try:
            for each in patterns:
                self._compiled(each)
        except ValueError:
            return BAD_REFERENCE
        return None

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        try:
            matches = any(self._matches(each, as_text(value)) for each in self._patterns(item))
        except (TimeoutError, MemoryError):
            return Score(reason="metric_timeout")
        return CORRECT if matches else WRONG

    def empty(self, item: Item, generation: Generation) -> Score:
        return self.score(item, generation, "")

    def _patterns(self, item: Item) -> Any:
        if self.pattern is not None:
            return [self.pattern]
        return [item.reference] if isinstance(item.reference, str) else item.reference

    def _compiled(self, pattern: str) -> Pattern:
        return compile_pattern(pattern, ("ignorecase",) if self.ignore_case else ())

    def _matches(self, pattern: str, text: str) -> bool:
        compiled = self._compiled(pattern)
        method = compiled.search if self.mode == "search" else compiled.fullmatch
        return method(text, seconds=self.timeout_s) is not None
