"""Extraction of what a mark-up encloses: a LaTeX box, a tag; and of what is left without the reasoning.

Each reads the text once from end to end, so 60 kB of unclosed marks take no longer than 60 kB of prose.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import Field

from themis_core import Extraction, Extractor

__all__ = ["Boxed", "Tag", "WithoutReasoning"]

TagName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.:|-]*$")]

_EMPTY: Final = Extraction(reason="empty")
_UNCLOSED: Final = Extraction(reason="unclosed")
_BOX: Final = re.compile(r"\\f?boxed[ \t]{0,8}\{|\\fbox[ \t]{0,8}\{")
_BRACE: Final = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace opens nothing


class Boxed(Extractor):
    r"""What the last (or first) LaTeX `\boxed{…}` or `\fbox{…}` holds, nested braces included, as text.

    Reasons: `no_box`; `unclosed` (the text ends within that box); `empty`.
    """

    which: Literal["first", "last"] = Field("last", description="Which box counts, if there are several.")

    def extract(self, text: str) -> Extraction:
        start = None
        for box in _BOX.finditer(text):
            start = box.end()
            if self.which == "first":
                break
        if start is None:
            return Extraction(reason="no_box")
        end = _closing_brace(text, start)
        if end is None:
            return _UNCLOSED
        inner = text[start:end].strip()
        return Extraction(inner) if inner else _EMPTY


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start):
        if brace[0] == "{":
            depth += 1
        elif brace[0] == "}":
            depth -= 1
            if depth == 0:
                return brace.start()
    return None


class Tag(Extractor):
    """The text between `<answer>` and the next `</answer>`, in any case, attributes allowed.

    Reasons: `no_tag`; `unclosed` (the first or last opening tag, whichever is wanted, has no closing one after it);
    `empty`.
    """

    tag: TagName = Field("answer", description="Name of the tag, without the angle brackets.")
    which: Literal["first", "last"] = Field("last", description="Which opening tag counts, if there are several.")
    strip: bool = Field(True, description="Leave out white space at both ends.")

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        return re.compile(rf"<{re.escape(self.tag)}(?:\s[^<>]*)?>", re.IGNORECASE)

    @cached_property
    def _closing(self) -> re.Pattern[str]:
        return re.compile(rf"</{re.escape(self.tag)}\s{{0,8}}>", re.IGNORECASE)

    def extract(self, text: str) -> Extraction:
        start = None
        for opening in self._opening.finditer(text):
            start = opening.end()
            if self.which == "first":
                break
        if start is None:
            return Extraction(reason="no_tag")
        closing = self._closing.search(text, start)
        if closing is None:
            return _UNCLOSED
        inner = text[start : closing.start()]
        inner = inner.strip() if self.strip else inner
        return Extraction(inner) if inner else _EMPTY


class WithoutReasoning(Extractor):
    """The text without what stands between `<think>` and `</think>`, stripped.

    A closing tag without an opening one ends reasoning that began before the text (many chat templates write the
    opening tag themselves): what precedes it is left out too. Reasons: `unfinished_reasoning` (an opening tag without a
    closing one: the model never came to its answer); `empty` (nothing but reasoning).
    """

    tags: tuple[TagName, ...] = Field(("think",), min_length=1, description="Names of the tags around reasoning.")

    @cached_property
    def _tag(self) -> re.Pattern[str]:
        names = "|".join(map(re.escape, self.tags))
        return re.compile(rf"<(/?)(?:{names})\s{{0,8}}>", re.IGNORECASE)

    def extract(self, text: str) -> Extraction:
        kept: list[str] = []
        position, inside = 0, False
        for tag in self._tag.finditer(text):
            if tag[1]:
                if not inside:
                    kept.clear()
                position, inside = tag.end(), False
            elif not inside:
                kept.append(text[position : tag.start()])
                inside = True
        if inside:
            return Extraction(reason="unfinished_reasoning")
        answer = ("".join(kept) + text[position:]).strip()
        return Extraction(answer) if answer else _EMPTY
