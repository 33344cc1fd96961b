"""The metric that compares numbers; how they are written is the matter of `themis_numbers`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from themis_core import Score
from themis_numbers import Notation, read_number
from themis_plugin_text.references import BAD_REFERENCE, CORRECT, WRONG, ReferenceMetric

__all__ = ["NumericMatch"]


class NumericMatch(ReferenceMetric):
    """1 if the answer is the reference's number within the tolerance, else 0. The mean is the accuracy.

    |answer - reference| <= max(tolerance, relative_tolerance × |reference|), in exact arithmetic: without a tolerance,
    integers of any size must agree in every digit, and 0.1 is a tenth. Strings are read as a whole, in the language of
    `extract/number`: `3,000`, `$5`, `-1.8 billion`, `45%`, `5 kg`, `1e3`, `3/4`, `\\frac{3}{4}`, `3M` (three million)
    are numbers. Prose that holds a number is none, nor is one beside a word that is no unit, nor `--5`: it scores 0
    with a detail that says so (let `extract/last_number` find the number first). A reference may be a list of accepted
    numbers. Reason: `bad_reference` (not a number).
    """

    version: ClassVar[int] = 2

    tolerance: float = Field(0.0, ge=0, description="Greatest difference that still counts as equal.")
    relative_tolerance: float = Field(
        0.0, ge=0, description="Greatest difference as a share of the reference's size: 0.01 is one per cent."
    )
    decimal: Literal[".", ","] = Field(".", description="The decimal mark in strings.")
    scale_words: bool = Field(True, description="Multiply by the word or letter after it: `2 million`, `3k`.")
    percent_as_fraction: bool = Field(False, description="Read `45%` as 0.45 instead of 45.")
    fractions: bool = Field(True, description="Read `3/4`, `1 3/4`, `½`; if off, they are no numbers.")

    @cached_property
    def _tolerances(self) -> tuple[Fraction, Fraction] | None:
        if self.tolerance == self.relative_tolerance == 0:
            return None
        return Fraction(repr(self.tolerance)), Fraction(repr(self.relative_tolerance))

    def problem(self, reference: Any) -> str | None:
        accepted = self._accepted(reference)
        return None if accepted and None not in accepted else BAD_REFERENCE

    def compare(self, value: Any, reference: Any) -> Score:
        answer = read_number(value, self._notation)
        if answer is None:
            return Score(0.0, details={"not_a_number": "the answer"})
        accepted = self._accepted(reference)
        return CORRECT if answer in accepted or self._is_near(answer, accepted) else WRONG

    def _accepted(self, reference: Any) -> list[int | Fraction | None]:
        notation = self._notation
        return [read_number(each, notation) for each in (reference if isinstance(reference, list) else [reference])]

    @cached_property
    def _notation(self) -> Notation:
        return Notation(self.decimal, self.scale_words, self.percent_as_fraction, self.fractions)

    def _is_near(self, answer: int | Fraction, accepted: Sequence[int | Fraction | None]) -> bool:
        if self._tolerances is None:
            return False
        absolute, relative = self._tolerances
        return any(
            abs(Fraction(answer - each)) <= max(absolute, abs(relative * each)) for each in accepted if each is not None
        )
