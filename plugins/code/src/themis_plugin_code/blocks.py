"""The extractor that finds a Python program in an answer."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field

from themis_core import Extraction, Extractor
from themis_plugin_code.syntax import is_parsed

__all__ = ["Python"]

_FENCE: Final = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n`]*$", re.MULTILINE)
_NAMES: Final = frozenset({"python", "python3", "py"})
_MOST_PARSED: Final = 100_000
"""Characters of a text without a block that is read as Python."""


class Python(Extractor):
    """The last block of Python between fences; the last block without a language if there is none of Python.

    A text without any block is the program if it is Python as it stands, or the body of a function, as answers of base
    models are. Indentation is kept. Reasons: `no_code`; `unclosed` (the block that counts has no closing fence).
    """

    which: Literal["first", "last"] = Field("last", description="Which block of Python counts, if there are several.")

    def extract(self, text: str) -> Extraction:
        found = _blocks(text)
        named = [block for name, block in found if name in _NAMES] or [block for name, block in found if not name]
        if named:
            block = named[-1 if self.which == "last" else 0]
            return Extraction(reason="unclosed") if block is None else Extraction(block)
        return Extraction(text) if not found and _is_python(text) else Extraction(reason="no_code")


def _blocks(text: str) -> list[tuple[str, str | None]]:
    """Language and text of each block; None for the text of one that is not closed. In lower case, as written."""
    blocks: list[tuple[str, str | None]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif not fence[2] and fence[1].startswith(opened[1]):
            blocks.append((opened[2].lower(), text[opened.end() + 1 : fence.start()]))
            opened = None
    if opened is not None:
        blocks.append((opened[2].lower(), None))
    return blocks


def _is_python(text: str) -> bool:
    if not text.strip() or len(text) > _MOST_PARSED:
        return False
    return is_parsed(text) or is_parsed(f"def body():\n{text}") or is_parsed(f"def body():\n    {text}")
