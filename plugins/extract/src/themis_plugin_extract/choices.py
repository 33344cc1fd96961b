"""Extraction of the letter that a model chose."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from pydantic import Field, field_validator

from themis_core import Extraction, Extractor

__all__ = ["Choice"]

_MARKS: Final = " \t\r\n*_`\"'()[]{}<>.:,;$"
_AMBIGUOUS: Final = Extraction(reason="ambiguous")
_NO_CHOICE: Final = Extraction(reason="no_choice")


class Choice(Extractor):
    r"""The label of the choice that an answer settles on, as it stands in `choices`.

    The first of these rules that finds a label decides:

    1. the whole text is a label, marks aside: `B`, `(b)`, `**C**.`;
    2. the last statement of the form "answer is B", "Answer: d", "choose (C)", "option B", `\boxed{A}`; one that
       names two labels ("answer is A or B") is ambiguous;
    3. labels marked as such at the start of a line or set apart: `B)`, `(B)`, `B.`, `**B**`: all of them the same;
    4. capital labels that stand alone in the text: all of them the same. An `A` before a small letter is an
       article, and a label after "not" is none.

    Reasons: `no_choice`; `ambiguous` (a rule finds different labels).
    """

    choices: tuple[str, ...] = Field(
        ("A", "B", "C", "D"), description="Labels, one letter or digit each: `ABCDE`, or a list.", min_length=2
    )

    @field_validator("choices", mode="before")
    @classmethod
    def _letters(cls, value: object) -> object:
        return tuple(value) if isinstance(value, str) else value

    @field_validator("choices", mode="after")
    @classmethod
    def _single_and_different(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            if len(label) != 1 or not label.isalnum():
                raise ValueError(f"each choice is one letter or digit, and {label!r} is not")
        if len({label.casefold() for label in labels}) != len(labels):
            raise ValueError("choices differ by more than their case, and none is there twice")
        return labels

    @cached_property
    def _labels(self) -> dict[str, str]:
        return {form: label for label in self.choices for form in (label, label.upper(), label.lower())}

    @cached_property
    def _statement(self) -> re.Pattern[str]:
        upper, lower = _cases(self.choices)
        label = rf"(?:[{upper}](?![\w'’])|[{lower}](?![\w'’]|[ ]\w))"
        marks = r"[\s*_`\"'(\[{$<:]{0,6}"
        link = r"(?:\s{1,3}(?:is|was|are|should be|would be|must be|will be)\b)?\s{0,3}[:=]?"
        noun = r"(?:\b(?:answer|choice|choose|chose|select|pick|option)s?\b|正确答案|答案)"
        middle = r"(?:\s{1,3}(?:the\s|correct\s|option\s|choice\s|answer\s|letter\s){0,3})?"
        return re.compile(
            rf"(?:(?i:{noun}){marks}(?i:{link}{middle})(?:是|为)?{marks}|\\boxed\{{(?:\\text\{{)?\s{{0,3}})"
            rf"(?P<label>{label})"
            rf"(?:[\s*_`\"')\]}}]{{0,4}}(?:\b(?i:or|and)\b|[/&,])\s{{0,3}}[(\[*]{{0,2}}(?P<other>{label}))?"
        )

    @cached_property
    def _marked(self) -> re.Pattern[str]:
        upper, lower = _cases(self.choices)
        return re.compile(
            rf"(?m)\((?P<round>[{upper}{lower}])\)|\*\*\(?(?P<bold>[{upper}])\)?[.:)]?\*\*"
            rf"|^[ \t>*_-]{{0,8}}(?P<line>[{upper}])(?:[).:](?=\s|\*|$)|[ \t]{{0,8}}$)"
        )

    @cached_property
    def _alone(self) -> re.Pattern[str]:
        upper, _ = _cases(self.choices)
        return re.compile(rf"(?<![\w'’-])(?<!\b[Nn]ot )(?P<label>[{upper}])(?![\w'’-])(?![ ][a-z])")

    def extract(self, text: str) -> Extraction:
        if whole := self._labels.get(text.strip(_MARKS)):
            return Extraction(whole)
        statement = None
        for statement in self._statement.finditer(text):  # noqa: B007  the last one is wanted
            pass
        if statement is not None:
            return self._decide({statement["label"], statement["other"] or statement["label"]})
        for pattern in (self._marked, self._alone):
            found = {match[match.lastgroup or 0] for match in pattern.finditer(text)}
            if found:
                return self._decide(found)
        return _NO_CHOICE

    def _decide(self, found: set[str]) -> Extraction:
        labels = {self._labels[label] for label in found}
        return Extraction(labels.pop()) if len(labels) == 1 else _AMBIGUOUS


def _cases(labels: tuple[str, ...]) -> tuple[str, str]:
    """The labels as two character classes without brackets: capitals, digits and the like; small letters."""
    capitals = [label.upper() if len(label.upper()) == 1 else label for label in labels]
    small = [label.lower() for label in capitals if label.lower() != label]
    return "".join(capitals), "".join(small) or "\ue000"  # a class can't be empty: a character without a meaning
