"""Extraction of JSON from a text, of a path into it, checked by a schema."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from themis_core import Extraction, Extractor
from themis_plugin_extract.json_reading import BROKEN, Found, Lenience, TooDeepError, looks_like_json, read_values

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["Json"]

_STEP: Final = re.compile(r"(?:^|\.)(?P<key>[^.\[\]\"]+)|\[(?P<index>-?\d{1,9})\]|\[\"(?P<quoted>[^\"]*)\"\]")


class Json(Extractor):
    """The first or last JSON value of a text, or what a path leads to in it.

    A text that is one JSON value has that alone; one that is written as a JSON string is unpacked. Else objects count
    in the order of the text, in fences and out of them, and arrays of plain values in prose only where there is nothing
    else. A value within another is not one of its own. An object without the key that `path` begins with is passed
    over. Raw line breaks in strings are let through. At most 20,000 characters of a text are read leniently. Reasons:
    `no_json` (nothing that begins like JSON); `invalid_json` (the wanted value is broken or cut off); `duplicate_keys`;
    `not_finite` (NaN, Infinity, 1e400); `number_too_long` (over 4,300 digits); `too_deep` (over 200 levels, fewer
    with a recursive schema or read leniently); `path_missing`; `schema_mismatch`; `extractor_timeout` (patterns of the
    schema, one second of CPU in all: the parse ends, and the next run tries it again).
    """

    runs_in = "inline"

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    version: ClassVar[int] = 4

    which: Literal["first", "last"] = Field("last", description="Which JSON value counts, if there are several.")
    lenient: Lenience = Field(
        "delimited",
        description="Where JSON5, Python's literals and backslashes of LaTeX are read: `never`; `delimited`, where the "
        "value is the whole text or in a fence (backslashes in prose as well); `anywhere`.",
    )
    path: str | None = Field(
        None, description='Path to the wanted part: `answer.value`, `items[0].x`, `[-1]`, `["a.b"]`.'
    )
    schema_: dict[str, Any] | None = Field(
        None,
        alias="schema",
        description="JSON Schema that the whole JSON value must fulfil; references inside it only.",
    )

    @model_validator(mode="after")
    def _is_usable(self) -> Json:
        _steps(self.path)
        if self.schema_ is not None:
            from themis_plugin_extract.schemas import build_validator  # jsonschema: only where there is a schema

            build_validator(self.schema_)
        return self

    @cached_property
    def _path(self) -> tuple[str | int, ...]:
        return _steps(self.path)

    @cached_property
    def _validator(self) -> Validator | None:
        if self.schema_ is None:
            return None
        from themis_plugin_extract.schemas import build_validator

        return build_validator(self.schema_)

    def extract(self, text: str) -> Extraction:
        try:
            found = _pick(read_values(text, self.lenient), self.which, self._path)
        except (TooDeepError, RecursionError):
            return Extraction(reason="too_deep")
        if found is None:
            return Extraction(reason=BROKEN if looks_like_json(text) else "no_json")
        if reason := found.flaw or self._mismatch(found.value):
            return Extraction(reason=reason)
        try:
            return Extraction(_follow(found.value, self._path))
        except LookupError:
            return Extraction(reason="path_missing")

    def _mismatch(self, value: Any) -> str | None:
        if self._validator is None:
            return None
        from themis_plugin_extract.schemas import SchemaTimeout, is_valid

        try:
            return None if is_valid(self._validator, value) else "schema_mismatch"
        except SchemaTimeout:
            return "extractor_timeout"
        except RecursionError:  # for the schema's references; one may refer to itself
            return "too_deep"


def _pick(found: list[Found], which: str, path: tuple[str | int, ...]) -> Found | None:
    """Take the first or last, but pass over objects that lack the key with which the path begins."""
    ranked = [each for each in found if each.ranked] or found
    ordered = ranked if which == "first" else ranked[::-1]
    for each in ordered:
        other = path and isinstance(path[0], str) and isinstance(each.value, dict) and path[0] not in each.value
        if each.flaw == BROKEN or not other:
            return each
    return ordered[0] if ordered else None


def _steps(path: str | None) -> tuple[str | int, ...]:
    """Split a path into keys and indexes; raises ValueError that names the position of a mistake."""
    steps: list[str | int] = []
    position = 0
    while path and position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise ValueError(
                f'path: can\'t read {path!r} at position {position}; write it as answer.value, items[0].x or ["a.b"].c'
            )
        steps.append(int(step["index"]) if step["index"] else step["key"] or step["quoted"])
        position = step.end()
    return tuple(steps)


def _follow(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if not isinstance(value, dict if isinstance(step, str) else list):
            raise LookupError(step)
        value = value[step]  # type: ignore[index]  # a text is a key, a number is an index
    return value
