"""From Arrow's types to what JSON can hold, without loss.

null, booleans, integers, text   as they are
floats                           as they are; NaN and infinities are refused, or null if asked for
decimals                         exact decimal text ("12.50")
dates, times, timestamps         ISO 8601 text
durations                        ISO 8601 text in seconds ("PT1.5S")
lists, structs, maps             lists, objects, objects (text keys only)
dictionary-encoded values        their values
UUIDs                            their text
JSON                             what the JSON says (`arrow.json`, as the `Json` columns of `datasets` are stored)
everything else                  refused: bytes, times and durations in nanoseconds, unions, ...
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from json import JSONDecoder
from math import isfinite
from typing import Any, TypeAlias

from themis_rows import DECODER, NAN_IS_NULL, check_depth, problem

__all__ = ["Converter", "NoJson", "converter", "is_json"]

Converter: TypeAlias = Callable[[Any], Any]


class NoJson(ValueError):
    """A type that JSON can't hold; the text names it."""


def converter(kind: Any, *, nan_is_null: bool) -> Converter | None:
    """Return what turns Python values of an Arrow type into JSON-like ones, or None if they are already.

    The converter raises ValueError for a value that JSON can't hold.
    """
    from pyarrow import types

    if types.is_dictionary(kind):
        return converter(kind.value_type, nan_is_null=nan_is_null)
    if types.is_null(kind) or types.is_boolean(kind) or types.is_integer(kind) or _is_text(kind):
        return None
    if types.is_floating(kind):
        return _finite_or_null if nan_is_null else _finite
    if types.is_decimal(kind):
        return _decimal
    if (types.is_time64(kind) or types.is_duration(kind)) and kind.unit == "ns":
        raise NoJson(f"values of type {kind}, which Python can't hold in full")  # it would cut them to microseconds
    if types.is_duration(kind):
        return _duration
    if types.is_temporal(kind) and not types.is_interval(kind):
        return _iso
    if getattr(kind, "extension_name", None) == "arrow.uuid":
        return str
    if is_json(kind):
        return _json_or_null if nan_is_null else _json
    return _nested(kind, nan_is_null)


def _nested(kind: Any, nan_is_null: bool) -> Converter | None:
    from pyarrow import types

    if types.is_map(kind):
        if not _is_text(kind.key_type):
            raise NoJson(f"values of type {kind}: a JSON object has text keys")
        return _of_map(converter(kind.item_type, nan_is_null=nan_is_null))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = converter(kind.value_type, nan_is_null=nan_is_null)
        return None if inner is None else _of_list(inner)
    if types.is_struct(kind):
        members = {each.name: converter(each.type, nan_is_null=nan_is_null) for each in kind}
        return _of_struct({name: inner for name, inner in members.items() if inner is not None})
    raise NoJson(f"values of type {kind}, which JSON can't hold")


def is_json(kind: Any) -> bool:
    """Whether a type is text that holds JSON."""
    return getattr(kind, "extension_name", None) == "arrow.json"


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError(f"{value}, which is no finite number (`nan: null` in extras reads it as null)")
    return float(value)


def _finite_or_null(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _json(text: str) -> Any:
    return _read(DECODER, text)


def _json_or_null(text: str) -> Any:
    return _read(NAN_IS_NULL, text)


def _read(decoder: JSONDecoder, text: str) -> Any:
    try:
        value = decoder.decode(text)
        check_depth(value, text.count("[") + text.count("{"))
    except (ValueError, RecursionError) as error:
        raise ValueError(problem(error)) from error
    return value


def _decimal(value: Any) -> str:
    return format(value, "f")


def _iso(value: Any) -> str:
    return str(value.isoformat())


def _duration(value: timedelta) -> str:
    microseconds = value // timedelta(microseconds=1)
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{'-' if microseconds < 0 else ''}PT{seconds}{fraction}S"


def _of_list(inner: Converter) -> Converter:
    return lambda values: [None if each is None else inner(each) for each in values]


def _of_struct(inner: dict[str, Converter]) -> Converter | None:
    if not inner:
        return None

    def convert(value: dict[str, Any]) -> dict[str, Any]:
        return {name: inner[name](each) if each is not None and name in inner else each for name, each in value.items()}

    return convert


def _of_map(inner: Converter | None) -> Converter:
    def convert(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = {key: inner(value) if inner and value is not None else value for key, value in pairs}
        if len(data) != len(pairs):
            raise ValueError("a map with a key that is there twice")
        return data

    return convert
