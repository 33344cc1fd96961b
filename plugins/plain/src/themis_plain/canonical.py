"""One JSON text for equal data, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from json import encoder as json_encoder
from typing import Any

__all__ = ["canonical_json", "digest"]

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _made_once() -> Callable[[Any, int], Iterable[str]]:
    """What gives the parts of a text: making it anew for each value would take half of the time of a key."""
    make: Any = getattr(json_encoder, "c_make_encoder", None)
    try:
        # Without a note of the containers around a value, so that several threads can share it.
        parts: Callable[[Any, int], Iterable[str]] = make(
            None, _encoder.default, json_encoder.encode_basestring_ascii, None, ":", ",", True, False, False
        )
    except TypeError:  # a Python that has no encoder in C, or one that takes other arguments
        return lambda value, _: [_encoder.encode(value)]
    return parts


_parts = _made_once()


def canonical_json(value: Any) -> str:
    """Encode plain data so that equal data gives equal text: sorted keys, no spaces, ASCII only.

    ASCII escapes let lone surrogates through without loss. Raises ValueError for NaN and infinities, TypeError
    for anything that JSON can't hold.
    """
    try:
        return "".join(_parts(value, 0))
    except RecursionError:
        return _encoder.encode(value)  # which says so if it is a circle


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of plain data, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()
