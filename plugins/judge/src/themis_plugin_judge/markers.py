"""Markers: short texts that what is judged can't contain, because they derive from its digest.

A judge is shown all material between tags with the marker, and told to put its verdict behind it. Equal material has
an equal marker, so stored replies are found again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from itertools import count
from typing import Any, Final

from themis_core import JudgeRequest, canonical_json, digest

__all__ = ["as_text", "asked_for", "json_key", "marker_of", "text_tag", "wrapped"]

DIGITS: Final = 10
"""Hexadecimal digits of a marker: 40 bits, and no more than a model copies without slips."""

_as_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=str).encode


def marker_of(material: Any) -> str:
    """The marker for some plain data: it occurs in none of its texts, keys included.

    An answer that contained the digest of itself would be one in 2^40; then the next candidate is taken.
    """
    texts = canonical_json(material)
    known = sha256(texts.encode("ascii")).hexdigest()  # `digest`, of what is encoded already
    texts = texts.casefold()
    return next(
        marker for number in count() if (marker := digest([known, number])[:DIGITS]) not in texts
    )  # fmt: skip


def text_tag(marker: str, part: int, parts: int) -> str:
    """What stands before the colon of a verdict in free text; parts are counted from 1."""
    return f"VERDICT-{marker}" if parts == 1 else f"VERDICT-{marker}-{part}"


def json_key(marker: str, part: int, parts: int) -> str:
    """The key of a verdict in JSON."""
    return f"verdict_{marker}" if parts == 1 else f"verdict_{marker}_{part}"


def asked_for(request: JudgeRequest) -> str:
    """The marker behind which a request wants its verdict: its last message ends with the format of that."""
    text = str(request.messages[-1]["content"])
    at = max(text.rfind("VERDICT-"), text.rfind("verdict_")) + len("VERDICT-")
    return text[at : at + DIGITS]


def wrapped(material: Mapping[str, str], marker: str) -> dict[str, str]:
    """Each text between tags that it can't close: `<answer-3f9a1c22de>` … `</answer-3f9a1c22de>`."""
    tags = {name: f"{name.replace('_', '-')}-{marker}" for name in material}
    return {name: f"<{tags[name]}>\n{text}\n</{tags[name]}>" for name, text in material.items()}


def as_text(value: Any) -> str:
    """A value as a judge reads it: text as it is, all else as JSON writes it."""
    if isinstance(value, str):
        return value
    try:
        return str(value) if type(value) is int else _as_json(value)
    except (RecursionError, ValueError, TypeError):  # too deep, too many digits, keys that can't be sorted
        return str(type(value).__name__)
