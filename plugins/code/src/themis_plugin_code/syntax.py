"""Whether a text is Python, asked without running it."""

from __future__ import annotations

import ast
import warnings
from threading import Lock
from typing import Final

__all__ = ["is_module", "is_parsed"]

_UNREADABLE: Final = (SyntaxError, ValueError, RecursionError, MemoryError)
_one_at_a_time: Final = Lock()
"""What catches warnings changes them for all threads."""


def is_parsed(text: str) -> bool:
    """Whether a text is Python by its grammar: a `return` may stand anywhere."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except _UNREADABLE:
            return False
    return True


def is_module(text: str) -> bool:
    """Whether a text can be compiled as a module."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<text>", "exec", dont_inherit=True)
        except _UNREADABLE:
            return False
    return True
