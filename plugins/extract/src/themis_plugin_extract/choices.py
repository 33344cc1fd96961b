"""Extraction of the choice, or the choices, that a model settled on."""

from __future__ import annotations

import re
from functools import cached_property
from typing import ClassVar, Final

from pydantic import Field, field_validator, model_validator

from themis_core import Extraction, Extractor
from themis_plugin_extract.statements import FIRST, ITEM, MARKED, Said, count_labels, grammar, said

__all__ = ["Choice"]

_MARKS: Final = " \t\r\n*_`\"'()[]{}<>.:,;$"
_AMBIGUOUS: Final = Extraction(reason="ambiguous")
_NO_CHOICE: Final = Extraction(reason="no_choice")
_MOST_LABELS: Final = 2_000  # more are no answer but a model that repeats itself
_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ue000-\ue2ff§]")
_VERBS: Final = (
    r"(?:is|was|are|isn|wasn|and|or|nor|because|since|as|for|would|must|seems|looks|fits|holds|works|can|cannot|could|should|"
    r"does|doesn|will|won|has|due|given|which|but|fails|violates|contradicts|ignores|satisfies|matches|only|instead|over)\b"
)
_REPLACED: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), by)
    for pattern, by in (
        ("[’‘ʼ]", "'"),
        (r"\bcan(?:'t|not)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"'s\b", " is"),
        (r"'d\b", " would"),
        (r"'ll\b", " will"),
        (r"<answer>", " answer: "),
        (r"</?\w{1,20}>|\\[()\[\]]|[*_`#$~\\]", ""),
        (r"[(){}\[\]\"“”]", " , "),
        (r"([.!;])(?=[ ,]{0,8}(?:\s|$))", "\n"),
        (r"([:：,=–—→⇒✗❌✘✓✔✅])", r" \1 "),
        (r"\?(?=[ ,]{0,8}(?:\s|$))", "?\n"),
        (r"[^\S\n]{1,1000}", " "),
        (r" ?, (?:, ){1,20}", " , "),
    )
)


class Choice(Extractor):
    r"""The label of the choice that an answer settles on, as it stands in `choices`; with `multiple` a list of labels.

    The whole text may be a label, marks aside. Else statements are read, by the grammar in `statements`, and what says
    most decides: the answer ("the answer is B", "I choose B", `\boxed{B}`, "B is the best option"), then a conclusion
    ("so B", "it must be B"), then a verdict ("B is correct"), then a mark ("B) Paris", a line of its own). Of several
    answers or conclusions the last counts; verdicts and marks must all agree. A refuted label ("A is wrong", "not A",
    "rules out A", "all except A") and a supposed one ("if A were right") are no statement; a label that is refuted
    after it was stated is none either. The article A and the pronoun I are no labels.

    Reasons: `no_choice`; `ambiguous` (different labels are stated alike, or alternatives: "A or B");
    `extractor_timeout`; `too_complex`.
    """

    runs_in = "inline"

    version: ClassVar[int] = 2

    choices: tuple[str, ...] = Field(
        ("A", "B", "C", "D"), description="Labels, one letter or digit each: `ABCDE`, or a list.", min_length=2
    )
    multiple: bool = Field(False, description="Read a set of labels, as a list in the order of `choices`.")

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

    @model_validator(mode="after")
    def _ready(self) -> Choice:
        grammar()
        return self

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {form: at for at, label in enumerate(self.choices) for form in (label, label.upper(), label.lower())}

    @cached_property
    def _marked(self) -> re.Pattern[str]:
        upper, every = self._classes
        return re.compile(
            rf"\\{{1,4}}f?boxed\{{[\s({{]{{0,3}}(?:\\(?:text|mathrm|mathbf|textbf)\{{)?[\s(]{{0,3}}(?P<boxed>[{every}])"
            rf"[\s).:}}]{{0,5}}|\*\*\(?(?P<bold>[{upper}])\)?[.:)]?\*\*|[(\[](?P<round>[{every}])[)\]]"
            rf"|[`\"“](?P<quoted>[{upper}])[`\"”]|(?<![^\W一-鿿])(?P<mid>[{upper}])\)"
            rf"|(?:^|(?<=[.!?:;] ))[ \t>*_#-]{{0,8}}(?P<item>[{upper}])[).:](?=\s|\*)",
            re.MULTILINE,
        )

    @cached_property
    def _bare(self) -> re.Pattern[str]:
        upper, every = self._classes
        article = "".join(label for label in upper if label in "A0123456789")
        as_word = rf"(?!(?<=[{article or '§'}])\s(?!{_VERBS})[a-z\d])(?!(?<=I)\s(?!(?:is|or|because|fits|holds)\b)\w)"
        lower = every.replace(upper, "", 1) or "§"
        return re.compile(
            rf"(?<![^\W一-鿿])(?<![-'.,]\b)(?P<capital>[{upper}])(?![\w'-])(?![.,]\w){as_word}(?!\s?%)"
            rf"|(?<=\b[Oo]ption )(?P<option>[{lower}])(?![\w'])|(?<=\b[Cc]hoice )(?P<choice>[{lower}])(?![\w'])"
            rf"|(?<=[Aa]nswer: )(?P<colon>[{lower}])(?![\w'])(?!\s\w)"
            rf"|(?<=[Aa]nswer is )(?P<is>[{lower}])(?![\w'])(?!\s\w)"
        )

    @cached_property
    def _classes(self) -> tuple[str, str]:
        """Two character classes, without brackets: the labels as capitals or digits; these and small letters."""
        capitals = "".join(label.upper() if len(label.upper()) == 1 else label for label in self.choices)
        small = "".join(each.lower() for each in capitals if len(each.lower()) == 1 and each.lower() != each)
        return capitals, capitals + small

    def extract(self, text: str) -> Extraction:
        if (whole := self._whole(text)) is not None:
            return whole
        marked = self._labelled(text)
        labels = count_labels(marked)
        if labels == 0:
            return _NO_CHOICE
        if labels > _MOST_LABELS:
            return _AMBIGUOUS
        try:
            return self._decided(said(_plain(marked)))
        except TimeoutError:
            return Extraction(reason="extractor_timeout")
        except MemoryError:
            return Extraction(reason="too_complex")

    def _whole(self, text: str) -> Extraction | None:
        """What a text says that is labels and marks alone; None if it is not."""
        bare = text.strip(_MARKS)
        if bare in self._positions:
            return self._found({self._positions[bare]})
        if self.multiple and len(text) < 200:
            letters = re.sub(r"\band\b|[\s*_`\"'()\[\]{}.,;:$&/+]", "", text)
            if len(letters) > 1 and all(char in self._classes[0] for char in letters):
                return self._found({self._positions[char] for char in letters})
        return None

    def _labelled(self, text: str) -> str:
        """The text with a private character in the place of each label."""
        text = _UNSEEN.sub("", text)
        if self.multiple:
            text = self._run.sub(lambda match: match[1] + ", ".join(match[2]), text)
        text = self._marked.sub(self._as_marked, text)
        return self._bare.sub(lambda match: self._character(match[match.lastgroup or 0], 0), text)

    @cached_property
    def _run(self) -> re.Pattern[str]:
        """Labels without anything between them, where it is said that they are the answer."""
        upper, _ = self._classes
        said = r"((?i:\banswers?(?: is| are)?:?)[\s*(\[]{1,4}|boxed\{(?:\\text\{)?)"
        return re.compile(rf"{said}([{upper}]{{2,26}})(?![\w'])(?!\s\w)")

    def _as_marked(self, match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        label = self._character(match[kind], MARKED)
        return f" boxed {label} " if kind == "boxed" else f"{label} {ITEM} " if kind == "item" else f" {label} "

    def _character(self, label: str, marked: int) -> str:
        return chr(FIRST + marked + self._positions[label])

    def _decided(self, every: list[Said]) -> Extraction:
        refuted = {(each.at, label) for each in every if each.level < 0 for label in each.labels}
        held = [
            each
            for each in every
            if each.level >= 0
            and not any(at > each.at and label in each.labels for at, label in refuted)
            and not (each.level == 0 and each.labels & {label for _, label in refuted})
        ]
        if not held:
            return _NO_CHOICE
        if corrected := [each for each in held if each.level > 0 and each.corrections == held[-1].corrections]:
            held = corrected
        top = max(each.level for each in held)
        told = [each for each in held if each.level == top]
        if top > 1:
            last = told[-1]
            return _AMBIGUOUS if last.alternatives and len(last.labels) > 1 else self._found(set(last.labels))
        labels: set[int] = set().union(*(each.labels for each in told))
        doubtful = any(each.alternatives for each in told) or (top == 0 and len(labels) == len(self.choices))
        return _AMBIGUOUS if doubtful and len(labels) > 1 else self._found(labels)

    def _found(self, labels: set[int]) -> Extraction:
        if self.multiple:
            return Extraction([self.choices[label] for label in sorted(labels)])
        return Extraction(self.choices[labels.pop()]) if len(labels) == 1 else _AMBIGUOUS


def _plain(text: str) -> str:
    """The text as the grammar reads it: see `statements`."""
    for pattern, by in _REPLACED:
        text = pattern.sub(by, text)
    return "\n".join(line.strip() for line in text.lower().split("\n"))
