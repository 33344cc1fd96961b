"""Numbers of YAML with how they were written, so that text which looks like a number is not changed in silence.

Whether a number or text was meant is known only where the value goes: an id `007` is text, a temperature `0.70` is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from themis_core.reading.places import Place
from themis_documents import WrittenFloat, WrittenInt

__all__ = ["as_meant"]


def as_meant(data: Any, wanted: Any, place: Place, *, free: type = str) -> Any:
    """Return the data with each number as its place in a model wants it: as it was written where text is meant.

    `wanted` is a type, such as a model class. Where both numbers and text may be meant, a number that would be written
    otherwise is refused with a SpecError that says to quote it; `free` says whether `Any` includes text.
    """
    if isinstance(data, WrittenInt | WrittenFloat):
        return _number(data, wanted, place, free)
    if isinstance(data, dict):
        return {key: as_meant(value, _inside(wanted, key), place / key, free=free) for key, value in data.items()}
    if isinstance(data, list):
        return [as_meant(value, _inside(wanted, at), place / at, free=free) for at, value in enumerate(data)]
    return data


def _number(value: WrittenInt | WrittenFloat, wanted: Any, place: Place, free: type) -> Any:
    plain: int | float = int(value) if isinstance(value, int) else float(value)
    kinds = {each for one in _alternatives(wanted) for each in ((int, free) if one is Any else (one,))}
    if _LEFT in kinds:
        return value
    if str not in kinds:
        return plain
    if not kinds & {int, float}:
        return value.written
    if value.written != str(plain):
        raise place.error(
            f"{value.written} would be read as the number {plain}: quote it if it is text, or write {plain}"
        )
    return plain


def _inside(wanted: Any, step: str | int) -> Any:
    """What is wanted a step further in; None if nothing is known of it."""
    found = [each for one in _alternatives(wanted) for each in _member(one, step)]
    return Union[tuple(found)] if found else None  # noqa: UP007 - made of a list


def _member(wanted: Any, step: str | int) -> list[Any]:
    if wanted is Any or wanted is _LEFT:
        return [wanted]
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        for name, field in wanted.model_fields.items():
            if step in (name, field.alias):
                return [_LEFT if name in _CONFIGS else field.annotation]
        return []
    origin, args = get_origin(wanted), get_args(wanted)
    if isinstance(step, str) and isinstance(origin, type) and issubclass(origin, Mapping):
        return [args[1]]
    if isinstance(step, int) and origin in (list, tuple, set, frozenset, Sequence):
        return [args[0]]
    return []


def _alternatives(wanted: Any) -> list[Any]:
    if get_origin(wanted) in (Union, UnionType):
        return [each for one in get_args(wanted) for each in _alternatives(one)]
    if get_origin(wanted) is Annotated:
        return _alternatives(get_args(wanted)[0])
    return [wanted]


class _Left:
    """Stands for what a component takes, whose class is not known yet."""


_LEFT = _Left
_CONFIGS = frozenset({"extras", "config", "overrides"})
"""Fields that hold a component's config or parameters: what is meant there is asked again when their class is known."""
