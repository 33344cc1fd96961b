"""Extraction of plain text: one line of it, or all of it normalised."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Final, Literal

from pydantic import Field

from themis_core import Extraction, Extractor

__all__ = ["Line", "Normalized"]

_EMPTY: Final = Extraction(reason="empty")
_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)


class Line(Extractor):
    """The first or last line that is not blank, without the white space around it.

    Reason: `empty`.
    """

    runs_in = "inline"

    which: Literal["first", "last"] = Field("last", description="Which line that is not blank.")

    def extract(self, text: str) -> Extraction:
        stripped = text.strip()
        if not stripped:
            return _EMPTY
        lines = stripped.splitlines()
        return Extraction((lines[0] if self.which == "first" else lines[-1]).strip())


class Normalized(Extractor):
    """The text, normalised by the switches in the order in which they stand here.

    Reason: `empty` (nothing is left).
    """

    runs_in = "inline"

    rewrites: ClassVar[bool] = True

    unicode: bool = Field(True, description="Apply Unicode NFKC, so that `①`, `１` and `ﬁ` are `1`, `1` and `fi`.")
    ignore_case: bool = Field(True, description="Fold the case, so that `Straße` is `strasse`.")
    ignore_punctuation: bool = Field(False, description="Remove punctuation and symbols (Unicode P and S).")
    ignore_articles: bool = Field(False, description="Remove the English words a, an and the.")
    whitespace: Literal["keep", "strip", "collapse", "remove"] = Field(
        "collapse", description="White space: kept, stripped at both ends, also collapsed within, or all removed."
    )

    def extract(self, text: str) -> Extraction:
        if self.unicode:
            text = unicodedata.normalize("NFKC", text)
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = "".join(char for char in text if unicodedata.category(char)[0] not in "PS")
        if self.ignore_articles:
            text = _ARTICLES.sub(" ", text)
        text = _respace(text, self.whitespace)
        return Extraction(text) if text else _EMPTY


def _respace(text: str, how: str) -> str:
    if how == "keep":
        return text
    if how == "strip":
        return text.strip()
    return ("" if how == "remove" else " ").join(text.split())
