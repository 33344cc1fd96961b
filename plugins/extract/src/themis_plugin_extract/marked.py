"""Extraction of what a mark-up encloses: a tag; and of what is left without the reasoning.

Each reads the text once from end to end, so 60 kB of unclosed marks take no longer than 60 kB of prose.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from themis_core import Extraction, Extractor

__all__ = ["Tag", "WithoutReasoning"]

TagName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.:|-]*$")]

_EMPTY: Final = Extraction(reason="empty")
_UNCLOSED: Final = Extraction(reason="unclosed")
_QUOTES: Final = "`'\""


class Tag(Extractor):
    """The text between `<answer>` and the next `</answer>`, in any case, attributes allowed.

    Reasons: `no_tag`; `unclosed` (the first or last opening tag, whichever is wanted, has no closing one after it);
    `empty`.
    """

    runs_in = "inline"

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
    """The text without what stands between `<think>` and `</think>`, attributes allowed, stripped.

    A closing tag without an opening one ends reasoning that began before the text (many chat templates write the
    opening tag themselves): what precedes it is left out too. A tag that is quoted (`` `<think>` ``) or stands in code
    of the answer is talked about, and opens and closes nothing. Reasons: `unfinished_reasoning` (an opening tag without
    a closing one: the model never came to its answer); `empty` (nothing but reasoning).
    """

    runs_in = "inline"

    version: ClassVar[int] = 2
    rewrites: ClassVar[bool] = True

    tags: tuple[TagName, ...] = Field(("think",), min_length=1, description="Names of the tags around reasoning.")

    @cached_property
    def _tag(self) -> re.Pattern[str]:
        names = "|".join(map(re.escape, self.tags))
        return re.compile(rf"<(?P<close>/[ ]?)?(?:{names})(?:\s[^>]{{0,300}}+)?>", re.IGNORECASE)

    def extract(self, text: str) -> Extraction:
        kept: list[str] = []
        position, inside, mentioned = 0, False, False
        for tag in self._tag.finditer(text):
            if _is_quoted(text, tag):
                continue
            if not tag["close"]:
                if inside:
                    continue
                if mentioned := _is_in_code(text, position, tag):
                    continue
                kept.append(text[position : tag.start()])
                inside = True
            elif inside or not (mentioned and _is_in_code(text, position, tag)):
                if not inside:
                    kept.clear()
                position, inside = tag.end(), False
        if inside:
            return Extraction(reason="unfinished_reasoning")
        answer = ("".join(kept) + text[position:]).strip()
        return Extraction(answer) if answer else _EMPTY


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    """Whether the same quotation mark stands at both sides of a tag."""
    before, after = text[tag.start() - 1 : tag.start()], text[tag.end() : tag.end() + 1]
    return before == after != "" and before in _QUOTES


def _is_in_code(text: str, start: int, tag: re.Match[str]) -> bool:
    """Whether a tag stands in a fenced block that began after `start` and is closed, or in code within its line."""
    if text.count("```", start, tag.start()) % 2:
        return text.find("```", tag.end()) >= 0
    line = max(start, text.rfind("\n", start, tag.start()) + 1)
    end = text.find("\n", tag.end())
    return text.count("`", line, tag.start()) % 2 == 1 and "`" in text[tag.end() : end if end >= 0 else None]
