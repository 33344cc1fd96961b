"""From the library's values to what JSON can hold, without loss.

null, booleans, integers, text   as they are
floats                           as they are; NaN and infinities are refused, or null if asked for
decimals                         exact decimal text ("12.50")
dates, times, timestamps         ISO 8601 text
durations                        ISO 8601 text in seconds ("PT1.5S")
lists, arrays, structs           lists, lists, objects
class labels                     their numbers, or their names if asked for
everything else                  refused: bytes, images, audio, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final

__all__ = ["NoJson", "class_names", "plain", "undecoded"]

_MEDIA: Final = frozenset({"Audio", "Image", "Mesh", "Nifti", "Pdf", "Video"})


class NoJson(ValueError):
    """A value that JSON can't hold; the text says which."""


def plain(value: Any, *, nan_is_null: bool) -> Any:
    """Return a value as JSON-like data; raises NoJson for what JSON can't hold."""
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return value
    if isinstance(value, float):
        return _number(float(value), nan_is_null)
    if isinstance(value, dict):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise NoJson(f"an object has the key {odd[0]!r}, which is no text")
        return {key: plain(each, nan_is_null=nan_is_null) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, nan_is_null=nan_is_null) for each in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if type(value).__module__ == "numpy":
        return plain(value.tolist(), nan_is_null=nan_is_null)
    raise NoJson(f"a value of type {kind.__name__}, which JSON can't hold; name the other columns in extras.columns")


def class_names(features: Any) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return what turns the class labels of a row, at any depth, into their names; None if there are none."""
    return _named(dict(features)) if features else None


def undecoded(features: Any) -> Iterator[tuple[str, str]]:
    """Yield (column, type) of the images, audio and the like among the columns, at any depth."""
    for column, feature in features.items():
        for kind in _media(feature):
            yield column, kind


def _media(feature: Any) -> Iterator[str]:
    kind = type(feature).__name__
    if kind in _MEDIA:
        yield f"values of type {kind}"
    for inner in _inner(feature):
        yield from _media(inner)


def _inner(feature: Any) -> list[Any]:
    if isinstance(feature, dict):
        return list(feature.values())
    if isinstance(feature, list):
        return feature
    inner = getattr(feature, "feature", None)
    return [] if inner is None else [inner]


def _named(feature: Any) -> Callable[[Any], Any] | None:
    if type(feature).__name__ == "ClassLabel":
        return lambda value: None if value is None or value < 0 else feature.int2str(value)  # -1 is "no label"
    if isinstance(feature, dict):
        members = {name: named for name, each in feature.items() if (named := _named(each)) is not None}
        return (lambda value: _members(value, members)) if members else None
    inner = [named for each in _inner(feature) if (named := _named(each)) is not None]
    if not inner:
        return None
    return lambda value: _each(value, inner[0])


def _members(value: Any, members: dict[str, Callable[[Any], Any]]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: members[name](each) if name in members else each for name, each in value.items()}


def _each(value: Any, named: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [None if each is None else named(each) for each in value]
    return value


def _number(value: float, nan_is_null: bool) -> float | None:
    if isfinite(value):
        return value
    if nan_is_null:
        return None
    raise NoJson(f"{value}, which is no finite number (`nan: null` in extras reads it as null)")


def _duration(value: timedelta) -> str:
    microseconds = value // timedelta(microseconds=1)
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{'-' if microseconds < 0 else ''}PT{seconds}{fraction}S"
