"""The metric for multiple choice: letters, indexes and the choices' own texts meet here."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import Field

from themis_core import Generation, Item, Metric, Score
from themis_plugin_text.references import BAD_REFERENCE, CORRECT, WRONG

__all__ = ["ChoiceAccuracy", "ChoiceSet"]

_BETWEEN: Final = re.compile(r"[\s(\[{\])}.,;/&+*]+(?:and[\s(\[*]+)?")
_MARKS: Final = " \t\r\n*_`\"'()[]{}.:,;"


class ChoiceAccuracy(Metric):
    """1 if the answer names the choice that the reference names, else 0. The mean is the accuracy.

    Either may be a label (`B`, in any case, marks such as `(B)` aside), an index, or the text of a choice. The choices
    are the item's field `choices`: a list of texts, a mapping of label to text, or `{"label": [...], "text": [...]}`;
    without it only labels and indexes are known. A list of references accepts each. Reason: `bad_reference` (names
    none of the choices).
    """

    runs_in = "inline"

    labels: str = Field(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_length=2, description="Labels of a list of choices, in order."
    )
    choices_field: str = Field("choices", description="Field of the item that holds the choices.")
    first_index: int = Field(0, ge=0, le=1, description="Index of the first choice where a reference is a number.")

    def unscorable(self, item: Item) -> str | None:
        if item.reference is None:
            return "no_reference"
        accepted = self._accepted(item, *self._choices(item))
        return None if accepted and None not in accepted else BAD_REFERENCE

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        labels, texts = self._choices(item)
        return CORRECT if self._index(value, labels, texts) in self._accepted(item, labels, texts) else WRONG

    def _accepted(self, item: Item, labels: list[str], texts: list[str]) -> set[int | None]:
        """Positions of the choices that the references name; None for a reference that names none."""
        every = item.reference if isinstance(item.reference, list) else [item.reference]
        return {self._index(each, labels, texts) for each in every}

    def _choices(self, item: Item) -> tuple[list[str], list[str]]:
        """The labels and the texts of the item's choices, in order and in small letters; no texts if unknown."""
        choices = item.fields.get(self.choices_field)
        labels: list[Any] = list(self.labels)
        if isinstance(choices, dict) and isinstance(choices.get("text"), list):
            given = choices.get("label")
            labels = given if isinstance(given, list) else labels
            choices = choices["text"]
        elif isinstance(choices, dict):
            labels, choices = list(choices), list(choices.values())
        texts = choices if isinstance(choices, (list, tuple)) else []
        labels = labels[: len(texts)] if texts else labels
        return [_folded(label) for label in labels], [_folded(text) for text in texts]

    def _index(self, value: Any, labels: list[str], texts: list[str]) -> int | None:
        """Position of the choice that a value names: by label, else by text, else by index."""
        if isinstance(value, int) and not isinstance(value, bool):
            position = value - self.first_index
            return position if 0 <= position < len(labels) else None
        if not isinstance(value, str):
            return None
        text = value.strip().casefold()
        for known, name in ((labels, text), (labels, text.strip(_MARKS)), (texts, text)):
            if name in known:
                return known.index(name)
        return self._index(int(text), labels, texts) if text.isdecimal() and len(text) < 4 else None


class ChoiceSet(ChoiceAccuracy):
    """1 if the answer names the choices that the reference names, all and no others, in any order, else 0.

    Both are a list of labels, indexes or texts of choices, or a text that lists them: `A, C`, `A and C`, `(A)(C)`,
    `AC`. With `partial: jaccard`, the share of the choices named by either that both name. An answer that names
    something else is wrong. Reason: `bad_reference` (names something else, or nothing).
    """

    partial: Literal["none", "jaccard"] = Field("none", description="Credit for an answer that is right in part.")

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        labels, texts = self._choices(item)
        wanted, named = self._named(item.reference, labels, texts), self._named(value, labels, texts)
        if None in named or not named:
            return WRONG
        if self.partial == "jaccard":
            return Score(len(named & wanted) / len(named | wanted))
        return CORRECT if named == wanted else WRONG

    def _accepted(self, item: Item, labels: list[str], texts: list[str]) -> set[int | None]:
        return self._named(item.reference, labels, texts)

    def _named(self, value: Any, labels: list[str], texts: list[str]) -> set[int | None]:
        """Positions of the choices that a value names; None for what names none."""
        if isinstance(value, (list, tuple)):
            return {self._index(each, labels, texts) for each in value}
        whole = self._index(value, labels, texts)
        if whole is not None or not isinstance(value, str):
            return {whole}
        parts = [part for part in _BETWEEN.split(value) if part]
        if len(parts) == 1 and parts[0].isupper():
            parts = list(parts[0])
        return {self._index(part, labels, texts) for part in parts}


def _folded(value: Any) -> str:
    return str(value).strip().casefold() if isinstance(value, (str, int, float)) else ""
