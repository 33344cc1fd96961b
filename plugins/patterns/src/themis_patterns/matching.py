"""Compiles and matches patterns within a bound on the CPU of the thread that matches.

Which characters are in a class is said in `classes`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, reduce
from operator import or_
from typing import Literal, TypeVar

import regex

from themis_patterns.classes import differs, has_classes, translated

__all__ = ["Flag", "Pattern", "compile_pattern"]

Flag = Literal["ascii", "bestmatch", "dotall", "enhancematch", "fullcase", "ignorecase", "multiline", "verbose"]
T = TypeVar("T")
_AT_ONCE = 0.05
"""Seconds, of all threads, that a match may take before it begins anew under the bound of this thread's own."""


@lru_cache(maxsize=512)
def compile_pattern(text: str, flags: tuple[Flag, ...] = ()) -> Pattern:
    """Compile a pattern, or raise ValueError that says what is wrong at which position (0-based)."""
    try:
        return Pattern(text, reduce(or_, (regex.RegexFlag[name.upper()] for name in flags), regex.RegexFlag(0)))
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error} of {text!r}") from error
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"the regular expression is nested too deeply or too large: {error}") from error


class Pattern:
    """A compiled pattern. Matching raises TimeoutError after `seconds` of this thread's CPU, or MemoryError."""

    def __init__(self, text: str, flags: regex.RegexFlag) -> None:
        self._text = text
        self._flags = flags
        self._plain = _compiled(text, flags)
        self._has_classes = has_classes(text, self._plain.flags)

    @property
    def groups(self) -> int:
        """How many groups there are, the whole match not counted."""
        return self._plain.groups

    @property
    def groupindex(self) -> Mapping[str, int]:
        """Names of groups, with their numbers."""
        return self._plain.groupindex

    def search(self, text: str, *, seconds: float) -> regex.Match[str] | None:
        """The first match, wherever it is."""
        search = self._for(text).search
        return _bounded(seconds, lambda limit: search(text, timeout=limit, concurrent=False))

    def fullmatch(self, text: str, *, seconds: float) -> regex.Match[str] | None:
        """The match of the whole text."""
        fullmatch = self._for(text).fullmatch
        return _bounded(seconds, lambda limit: fullmatch(text, timeout=limit, concurrent=False))

    def every(self, text: str, *, seconds: float) -> list[regex.Match[str]]:
        """All matches that don't overlap, in order."""
        finditer = self._for(text).finditer
        return _bounded(seconds, lambda limit: list(finditer(text, timeout=limit, concurrent=False)))

    def last(self, text: str, *, seconds: float) -> regex.Match[str] | None:
        """The last of all matches that don't overlap."""
        pattern = self._for(text)

        def find(limit: float) -> regex.Match[str] | None:
            match = None
            for match in pattern.finditer(text, timeout=limit, concurrent=False):  # noqa: B007  the last one is wanted
                pass
            return match

        return _bounded(seconds, find)

    def _for(self, text: str) -> regex.Pattern[str]:
        return self._translated if self._has_classes and differs(text) else self._plain

    @cached_property
    def _translated(self) -> regex.Pattern[str]:
        return _compiled(translated(self._text, self._plain.flags), self._flags)


def _compiled(text: str, flags: regex.RegexFlag) -> regex.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `[[` means what it meant in `re`
        return regex.compile(text, flags)


def _bounded(seconds: float, match: Callable[[float], T]) -> T:
    try:
        # To read the thread's clock takes as long as most matches do, so it is read for those that take long.
        return match(min(seconds, _AT_ONCE))
    except TimeoutError:
        return _bounded_by_thread(seconds, match)


def _bounded_by_thread(seconds: float, match: Callable[[float], T]) -> T:
    # The package's clock counts what all threads use. `concurrent=False` keeps Python's lock, so that only threads of
    # native code can use any; what they took is no reason to give up.
    limit = seconds
    while True:
        began = time.thread_time()
        try:
            return match(limit)
        except TimeoutError:
            if time.thread_time() - began >= 0.9 * seconds:
                raise
        limit *= 2
