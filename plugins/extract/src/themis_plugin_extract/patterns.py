"""Extraction by the user's own regular expression, in an engine with a bound on time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property, partial, reduce
from operator import or_
from typing import ClassVar, Final, Literal

import regex
from pydantic import Field, field_validator, model_validator

from themis_core import Extraction, Extractor

__all__ = ["Regex", "compile_pattern"]

Flag = Literal["ascii", "bestmatch", "dotall", "enhancematch", "fullcase", "ignorecase", "multiline", "verbose"]

_NO_MATCH: Final = Extraction(reason="no_match")
_NO_GROUP: Final = Extraction(reason="no_group")
_TIMEOUT: Final = Extraction(reason="timeout")
_TOO_COMPLEX: Final = Extraction(reason="too_complex")


def compile_pattern(pattern: str, flags: tuple[str, ...] = ()) -> regex.Pattern[str]:
    """Compile a pattern, or raise ValueError that says what is wrong at which position (0-based)."""
    bits = reduce(or_, (regex.RegexFlag[name.upper()] for name in flags), regex.RegexFlag(0))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `[[` means what it meant in `re`
            return regex.compile(pattern, bits)
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error} of {pattern!r}") from error
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"the regular expression is nested too deeply or too large: {error}") from error


class Regex(Extractor):
    """What the first or last match of a regular expression holds, as text.

    Patterns are those of Python's `re`, and what the `regex` package adds. Reasons: `no_match`; `no_group` (the match
    does not include the group); `timeout`; `too_complex` (out of memory).
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"timeout_s"})

    pattern: str = Field(description="Regular expression, as in Python's `re`; `(?m)` and the like may begin it.")
    group: int | str | None = Field(
        None, description="Group to return, by number or name; by default 1 if the pattern has one, else 0 (all)."
    )
    which: Literal["first", "last"] = Field("first", description="Which match counts, if there are several.")
    flags: tuple[Flag, ...] = Field((), description="Flags by name, such as `ignorecase`, `multiline`, `dotall`.")
    timeout_s: float = Field(1.0, gt=0, le=60, description="Most seconds of CPU that one text may take.")

    @field_validator("flags", mode="after")
    @classmethod
    def _sorted(cls, flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
        return tuple(sorted(set(flags)))  # their order can't change an answer, so it must not change a digest

    @model_validator(mode="after")
    def _compiles(self) -> Regex:
        compiled = compile_pattern(self.pattern, self.flags)
        known = [*range(compiled.groups + 1), *compiled.groupindex]
        if self.group is not None and self.group not in known:
            raise ValueError(f"group: the pattern has no group {self.group!r}; it has {known}")
        return self

    @cached_property
    def _pattern(self) -> regex.Pattern[str]:
        return compile_pattern(self.pattern, self.flags)

    @cached_property
    def _group(self) -> int | str:
        return self.group if self.group is not None else min(self._pattern.groups, 1)

    @cached_property
    def _match(self) -> Callable[[str], regex.Match[str] | None]:
        # Always with a timeout: which patterns are harmless can't be told from the pattern, and it costs 2 µs.
        if self.which == "first":
            return partial(self._pattern.search, timeout=self.timeout_s)
        return partial(_last, self._pattern, self.timeout_s)

    def extract(self, text: str) -> Extraction:
        try:
            match = self._match(text)
        except TimeoutError:
            return _TIMEOUT
        except MemoryError:
            return _TOO_COMPLEX
        if match is None:
            return _NO_MATCH
        found = match[self._group]
        return _NO_GROUP if found is None else Extraction(found)


def _last(pattern: regex.Pattern[str], timeout: float, text: str) -> regex.Match[str] | None:
    match = None
    for match in pattern.finditer(text, timeout=timeout):  # noqa: B007  the last one is wanted
        pass
    return match
