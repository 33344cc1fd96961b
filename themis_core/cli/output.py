"""How values are shown: text made safe for terminals, numbers in plain form, JSON.

It knows no command; what it shows was computed elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import click

__all__ = ["as_json", "cell", "format_option", "heading", "number", "quoted", "safe", "shortened"]

# C0 but tab and line feed, DEL and C1 (escape sequences begin with them), what turns the direction of writing, and
# lone surrogates, which no encoding can print.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """Escape what could steer a terminal or hide text: control and bidi characters become `\\x1b`, `\\u202e`."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


_DATA_URL = re.compile(r"(data:[\w.+-]+/[\w.+-]+[^\s\"',]{0,200},)([^\s\"'<>()]{100,})")


def shortened(text: str) -> str:
    """The text with what its data URLs hold, such as an image, cut to its length."""
    return _DATA_URL.sub(lambda match: f"{match[1]}{match[2][:12]}… ({len(match[2]):,} characters)", text)


def cell(value: object) -> str:
    """One line for one value: None as a dash, floats to four significant digits."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    text = str(value) if isinstance(value, (str, int)) else as_json(value, indent=None)
    return safe(shortened(text)).replace("\n", "\\n").replace("\t", "\\t")


def number(value: float, digits: int = 4) -> str:
    """A number to some significant digits in plain form, such as `0.000099`; with an exponent where that is long."""
    if not math.isfinite(value) or (value and not 1e-9 < abs(value) < 1e15):
        return f"{value:.{digits}g}"
    return f"{Decimal(f'{value:.{digits}g}'):f}"


def quoted(text: str) -> str:
    """Text of a model or an item, indented, so that it is not taken for the command's own words."""
    return "\n".join(f"    {line}" for line in safe(shortened(text)).split("\n"))


def heading(text: str) -> None:
    click.secho(f"\n{safe(text)}", bold=True)


def as_json(value: object, indent: int | None = 2) -> str:
    """JSON of records and plain data. ASCII only, which is safe on every terminal and keeps lone surrogates."""
    text = json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False, default=_plain)
    return text.replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--format`; the command receives `as_format`."""
    return click.option(
        "--format",
        "as_format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="For people, or one JSON object for programs.",
    )(command)
