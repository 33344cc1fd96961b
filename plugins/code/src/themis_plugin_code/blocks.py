"""The extractor that finds a Python program in an answer."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field

from themis_core import Extraction, Extractor
from themis_plugin_code.syntax import is_parsed

__all__ = ["Python"]

_FENCE: Final = re.compile(r"^([ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,}(?=[^`\n]*$)|~{3,})(.*)$", re.MULTILINE)
_NAME: Final = re.compile(r"\s*\{?\.?([\w.+#-]*)")
"""The language in what follows a fence, such as `python`, `{.python}` or `python:solution.py`."""
_PYTHON: Final = re.compile(r"(?:python|py)(?:3(?:\.\d+)*)?")
_WRAPPERS: Final = frozenset({"markdown", "md"})
"""Languages of a block that holds a whole answer, with blocks of its own."""
_BOM: Final = "\ufeff"
_MOST_PARSED: Final = 100_000
"""Characters of a text that is read as Python as a whole."""


class Python(Extractor):
    """The last block of Python between fences; the last block without a language if there is none of Python.

    A text that is Python as it stands, or the body of a function, is the program, as answers of base models are.
    Indentation is kept, but for that of the fence. Reasons: `no_code`; `unclosed` (the block that counts has no closing
    fence).
    """

    which: Literal["first", "last"] = Field("last", description="Which block of Python counts, if there are several.")

    def extract(self, text: str) -> Extraction:
        text = text.removeprefix(_BOM)
        if _is_python(text):  # fences can only be within strings and comments
            return Extraction(text)
        found = _blocks(text)
        named = [block for name, block in found if _PYTHON.fullmatch(name)] or [
            block for name, block in found if not name
        ]
        if not named:
            return Extraction(reason="no_code")
        block = named[-1 if self.which == "last" else 0]
        return Extraction(reason="unclosed") if block is None else Extraction(block)


def _blocks(text: str) -> list[tuple[str, str | None]]:
    """Language and text of each block; None for the text of one that is not closed. In lower case, as written."""
    blocks: list[tuple[str, str | None]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None or (_language(opened) in _WRAPPERS and _language(fence)):
            opened = fence
        elif _closes(fence, opened):
            blocks.append((_language(opened), _within(opened, text[opened.end() + 1 : fence.start()])))
            opened = None
    if opened is not None:
        blocks.append((_language(opened), None))
    return blocks


def _closes(fence: re.Match[str], opened: re.Match[str]) -> bool:
    alone = not fence[1].strip() and not fence[3].strip()
    return alone and fence[2].startswith(opened[2]) and len(fence[1]) <= len(opened[1]) + 3


def _language(fence: re.Match[str]) -> str:
    name = _NAME.match(fence[3])
    return name[1].lower() if name else ""


def _within(opened: re.Match[str], block: str) -> str:
    """A block without the indentation that its fence has, too, as in an item of a list."""
    return re.sub(rf"^[ \t]{{1,{len(opened[1])}}}", "", block, flags=re.MULTILINE) if opened[1] else block


def _is_python(text: str) -> bool:
    if not text.strip() or len(text) > _MOST_PARSED:
        return False
    return is_parsed(text) or is_parsed(f"def body():\n{text}") or is_parsed(f"def body():\n    {text}")
