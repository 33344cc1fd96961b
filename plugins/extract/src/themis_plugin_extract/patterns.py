"""Extraction by the user's own regular expression, with a bound on time."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from themis_core import Extraction, Extractor
from themis_patterns import Flag, Pattern, compile_pattern

__all__ = ["Regex"]

_NO_MATCH: Final = Extraction(reason="no_match")
_NO_GROUP: Final = Extraction(reason="no_group")
_TIMEOUT: Final = Extraction(reason="extractor_timeout")
_TOO_COMPLEX: Final = Extraction(reason="too_complex")


class Regex(Extractor):
    """What the first or last match of a regular expression holds, as text.

    Patterns are those of Python's `re`, and what the `regex` package adds. Reasons: `no_match`; `no_group` (the match
    does not include the group); `extractor_timeout` (it could not be decided, so the parse ends and the answer is
    unscored until a run can decide); `too_complex` (out of memory).
    """

    runs_in = "inline"

    version: ClassVar[int] = 2
    not_identity: ClassVar[frozenset[str]] = frozenset({"timeout_s"})

    pattern: str = Field(description="Regular expression, as in Python's `re`; `(?m)` and the like may begin it.")
    group: int | str | None = Field(
        None, description="Group to return, by number or name; by default 1 if the pattern has one, else 0 (all)."
    )
    which: Literal["first", "last"] = Field("first", description="Which match counts, if there are several.")
    flags: tuple[Flag, ...] = Field((), description="Flags by name, such as `ignorecase`, `multiline`, `dotall`.")
    timeout_s: float = Field(1.0, gt=0, le=60, description="Most seconds of the thread's own CPU for one text.")

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
    def _pattern(self) -> Pattern:
        return compile_pattern(self.pattern, self.flags)

    @cached_property
    def _group(self) -> int | str:
        return self.group if self.group is not None else min(self._pattern.groups, 1)

    def extract(self, text: str) -> Extraction:
        find = self._pattern.search if self.which == "first" else self._pattern.last
        try:
            match = find(text, seconds=self.timeout_s)
        except TimeoutError:
            return _TIMEOUT
        except MemoryError:
            return _TOO_COMPLEX
        if match is None:
            return _NO_MATCH
        found = match[self._group]
        return _NO_GROUP if found is None else Extraction(found)
