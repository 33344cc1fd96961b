"""Numbers of YAML with how they were written, so that text which looks like a number is not changed in silence.

Whether a number or text was meant is known only where the value goes: an id `007` is text, a temperature `0.70` is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from themis_documents.plain import Loc, WrittenFloat, WrittenInt

__all__ = ["UnclearNumber", "as_meant"]


_NUMBERS = frozenset({int, float})
_TEXT_OR_NONE = frozenset({str, type(None)})


class UnclearNumber(ValueError):
    """A number that may be meant as text, or true or false in the place of a number; `loc` is its place in the data.

    The message says what to write.
    """

    def __init__(self, message: str, loc: Loc) -> None:
        super().__init__(message)
        self.loc = loc


def as_meant(data: Any, wanted: Any, *, free: type = str, later: Collection[str] = ()) -> Any:
    """Return the data with each number as its place in a model wants it: as it was written where text is meant.

    `wanted` is a type, such as a model class. Where both numbers and text may be meant, a number that would be written
    otherwise is refused with UnclearNumber; `free` says whether `Any` includes text. So is true or false where only a
    number can be meant: pydantic would take it as 1 or 0. What is beneath the fields that `later` names stays as it is:
    what is meant there is asked again when it is known.
    """
    return _Meaning(free, later).of(data, wanted, ())


class _Meaning:
    def __init__(self, free: type, later: Collection[str]) -> None:
        self.free = free
        self.later = later

    def of(self, data: Any, wanted: Any, loc: Loc) -> Any:
        if isinstance(data, WrittenInt | WrittenFloat):
            return _number(data, wanted, loc, self.free)
        if isinstance(data, bool) and _is_of_numbers(wanted):
            raise UnclearNumber(f"{str(data).lower()} would be read as {data:d}: write the number that is meant", loc)
        if isinstance(data, dict):
            return {key: self.of(value, self._inside(wanted, key), (*loc, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [self.of(value, self._inside(wanted, at), (*loc, at)) for at, value in enumerate(data)]
        return data

    def _inside(self, wanted: Any, step: str | int) -> Any:
        """What is wanted a step further in; None if nothing is known of it."""
        found = [each for one in _alternatives(wanted) for each in self._member(one, step)]
        return Union[tuple(found)] if found else None  # noqa: UP007 - made of a list

    def _member(self, wanted: Any, step: str | int) -> list[Any]:
        if wanted is Any or wanted is _Later:
            return [wanted]
        if isinstance(wanted, type) and issubclass(wanted, BaseModel):
            for name, field in wanted.model_fields.items():
                if step in (name, field.alias):
                    return [_Later if name in self.later else field.annotation]
            return []
        origin, args = get_origin(wanted), get_args(wanted)
        if isinstance(step, str) and isinstance(origin, type) and issubclass(origin, Mapping):
            return [args[1]]
        if isinstance(step, int) and origin in (list, tuple, set, frozenset, Sequence):
            return [args[0]]
        return []


def _number(value: WrittenInt | WrittenFloat, wanted: Any, loc: Loc, free: type) -> Any:
    plain: int | float = int(value) if isinstance(value, int) else float(value)
    kinds = {each for one in _alternatives(wanted) for each in ((int, free) if one is Any else (one,))}
    if _Later in kinds:
        return value
    if str not in kinds:
        return plain
    if not kinds & {int, float}:
        return value.written
    if value.written != str(plain):
        message = f"{value.written} would be read as the number {plain}: quote it if it is text, or write {plain}"
        raise UnclearNumber(message, loc)
    return plain


def _is_of_numbers(wanted: Any) -> bool:
    """Whether it is of numbers, and of nothing but text or null beside them."""
    kinds = frozenset(_alternatives(wanted))
    return bool(kinds & _NUMBERS) and kinds <= _NUMBERS | _TEXT_OR_NONE


def _alternatives(wanted: Any) -> list[Any]:
    if get_origin(wanted) in (Union, UnionType):
        return [each for one in get_args(wanted) for each in _alternatives(one)]
    if get_origin(wanted) is Annotated:
        return _alternatives(get_args(wanted)[0])
    return [wanted]


class _Later:
    """Stands for what is not known yet."""
