"""Single values that come from other people's code, checked where they enter.

Values of the plain types pass as they are. Subclasses of them and other kinds of number (NumPy's, fractions) become
plain. All else raises TypeError or ValueError; `what` names the value in the message, such as `Score.value`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from themis_plain.canonical import canonical_json

__all__ = [
    "LIMIT", "as_amount", "as_count", "as_flag", "as_number", "as_text", "check_dict", "check_json", "kind_of",
    "told_type",
]  # fmt: skip

LIMIT = 2**63
"""Counts and the like below it fit every database's integers."""


def kind_of(value: Any) -> str:
    """The name of a value's type; `None` for None."""
    return "None" if value is None else type(value).__name__


def told_type(value: Any) -> str:
    """`of type list`, or `None`: what follows "is" in a message."""
    return "None" if value is None else f"of type {kind_of(value)}"


def as_text(value: Any, what: str) -> str:
    """The value as a plain str."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is {told_type(value)}, not a str")
    return str.__str__(value)


def as_flag(value: Any, what: str) -> bool:
    """The value, if it is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} is {told_type(value)}, not a bool")
    return value


def as_number(value: Any, what: str) -> float:
    """The value as a float; infinite if it is beyond the range of floats."""
    if not isinstance(value, (Real, Decimal)):
        raise TypeError(f"{what} is {told_type(value)}, not a number: make it one with float(...)")
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def as_amount(value: Any, what: str) -> float:
    """The value as a finite float of at least 0."""
    amount = value if type(value) is float else as_number(value, what)
    if not 0 <= amount < math.inf:
        raise ValueError(f"{what} is {amount}, not a finite number of at least 0")
    return amount


def as_count(value: Any, what: str) -> int:
    """The value as a plain int in [0, LIMIT)."""
    if type(value) is bool or not isinstance(value, Integral):
        raise TypeError(f"{what} is {told_type(value)}, not an int")
    count = int(value)
    if not 0 <= count < LIMIT:
        raise ValueError(f"{what} is no count: it is {'negative' if count < 0 else 'greater than 2^63'}")
    return count


def check_dict(value: Any, what: str) -> None:
    """Refuse what is no dict that JSON can say."""
    if not isinstance(value, dict):
        raise TypeError(f"{what} is {told_type(value)}, not a dict")
    check_json(value, what)


def check_json(value: Any, what: str) -> None:
    """Refuse what JSON can't say."""
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} holds what JSON can't say: {error}") from error
