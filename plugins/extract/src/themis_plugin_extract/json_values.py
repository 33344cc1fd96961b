"""Extraction of JSON from a text, of a path into it, checked by a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from themis_core import Extraction, Extractor

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["Json"]

_MAX_DEPTH: Final = 200
_MAX_DIGITS: Final = 4300  # Python's own bound on turning text into int
_OPENING: Final = re.compile(r"[{\[]")
_START: Final = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\[{\"\dtfnNI\]-])")  # what can't be JSON costs no try
_STEP: Final = re.compile(r"(?:^|\.)(?P<key>[^.\[\]\"]+)|\[(?P<index>-?\d{1,9})\]|\[\"(?P<quoted>[^\"]*)\"\]")


class _TooDeep(Exception):
    pass


class Json(Extractor):
    """The first or last JSON value of a text, or what a path leads to in it.

    Looked for in this order: the whole text as one JSON value; objects and arrays in fenced blocks (marked `json` or
    not at all); objects in the text; arrays in the text. A value within another is not one of its own. Raw line breaks
    in strings are let through. Reasons: `no_json` (nothing that begins like JSON); `invalid_json`; `duplicate_keys`;
    `not_finite` (NaN, Infinity, 1e400); `number_too_long` (over 4,300 digits); `too_deep` (over 200 levels, fewer
    with a recursive schema); `path_missing`; `schema_mismatch`; `extractor_timeout` (patterns of the schema, one second
    of CPU in all: the parse ends, and the next run tries it again).
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    version: ClassVar[int] = 3

    which: Literal["first", "last"] = Field("last", description="Which JSON value counts, if there are several.")
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
            found = _find(text, self.which)
        except (_TooDeep, RecursionError):
            return Extraction(reason="too_deep")
        if found is None:
            return Extraction(reason="invalid_json" if _OPENING.search(text) else "no_json")
        value, flaw = found
        if flaw:
            return Extraction(reason=flaw)
        if mismatch := self._mismatch(value):
            return Extraction(reason=mismatch)
        try:
            return Extraction(_follow(value, self._path))
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


def _find(text: str, which: str) -> tuple[Any, str | None] | None:
    """Return the wanted JSON value with its flaw, if it has one; None if there is no JSON."""
    whole = _decode(text.strip())
    if whole is not None:
        return whole
    found = [each for block in _fenced(text) for each in _values(block)]
    if not found:
        every = list(_values(text))
        found = [each for each in every if isinstance(each[0], dict)] or every
    if not found:
        return None
    return found[0 if which == "first" else -1]


def _fenced(text: str) -> Iterator[str]:
    for block in text.split("```")[1::2]:
        info, _, body = block.partition("\n")
        if info.strip().lower() in ("", "json", "jsonc", "json5", "jsonl"):
            yield body
        elif not body:
            yield block


def _values(text: str) -> Iterator[tuple[Any, str | None]]:
    """Yield the objects and arrays of the text that are JSON, each with its flaw.

    After a failure the search goes on behind the place of the error, never behind the bracket alone, which
    would read 60 kB of brackets 60,000 times over.
    """
    reader, uncounted = _Reader(), _Uncounted(text)
    opening = _START.search(text)
    while opening is not None:
        reader.flaw = None
        try:
            value, position = reader.decoder.raw_decode(uncounted, opening.start())
        except json.JSONDecodeError as error:
            position = max(error.pos, opening.end())
            if opening[0] == "{":  # an object that is broken or cut off counts: no draft is taken for it
                yield {}, "invalid_json"
        else:
            yield value, reader.checked(value)
        opening = _START.search(text, position)


def _decode(text: str) -> tuple[Any, str | None] | None:
    reader = _Reader()
    try:
        value = reader.decoder.decode(text)
    except json.JSONDecodeError:
        return None
    return value, reader.checked(value)


class _Uncounted(str):
    """A text whose lines are not counted: JSONDecodeError counts them up to each error, quadratic in all."""

    __slots__ = ()

    def count(self, *args: Any) -> int:
        return 0

    def rfind(self, *args: Any) -> int:
        return 0


class _Reader:
    """A JSON decoder that remembers the first flaw of what it read and goes on."""

    def __init__(self) -> None:
        self.flaw: str | None = None
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=self._float,
            parse_int=self._int,
            parse_constant=self._constant,
            strict=False,
        )

    def checked(self, value: Any) -> str | None:
        if _deeper_than(value, _MAX_DEPTH):
            raise _TooDeep
        return self.flaw

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self.flaw = self.flaw or "duplicate_keys"
        return value

    def _float(self, digits: str) -> float:
        value = float(digits)
        if not isfinite(value):
            self.flaw = self.flaw or "not_finite"
        return value

    def _int(self, digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            self.flaw = self.flaw or "number_too_long"
            return 0
        return int(digits)

    def _constant(self, name: str) -> None:
        self.flaw = self.flaw or "not_finite"


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for each in level
            if isinstance(each, (dict, list))
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


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
