"""What passes, what becomes plain, and what is refused with its name."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from themis_plain import as_amount, as_count, as_flag, as_number, as_text, check_dict, check_json


class Word(enum.StrEnum):
    CUT = "cut"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("check", "value", "plain"),
    [
        (as_text, "a", "a"),
        (as_text, Word.CUT, "cut"),
        (as_flag, True, True),
        (as_number, 1.5, 1.5),
        (as_number, Fraction(1, 2), 0.5),
        (as_number, Decimal("0.25"), 0.25),
        (as_number, 10**400, math.inf),
        (as_number, -(10**400), -math.inf),
        (as_amount, 0, 0.0),
        (as_count, Level.HIGH, 3),
        (as_count, 2**63 - 1, 2**63 - 1),
    ],
)
def test_what_can_be_made_plain_is(check: Callable[[Any, str], Any], value: Any, plain: Any) -> None:
    made = check(value, "it")
    assert (made, type(made)) == (plain, type(plain))


@pytest.mark.parametrize(
    ("check", "value", "error", "told"),
    [
        (as_text, None, TypeError, "it is None, not a str"),
        (as_text, b"", TypeError, "it is of type bytes, not a str"),
        (as_flag, 1, TypeError, "it is of type int, not a bool"),
        (as_number, "1", TypeError, "it is of type str, not a number: make it one with float(...)"),
        (as_amount, -1.0, ValueError, "it is -1.0, not a finite number of at least 0"),
        (as_amount, math.nan, ValueError, "it is nan, not a finite number of at least 0"),
        (as_count, True, TypeError, "it is of type bool, not an int"),
        (as_count, 1.0, TypeError, "it is of type float, not an int"),
        (as_count, -1, ValueError, "it is no count: it is negative"),
        (as_count, 2**63, ValueError, "it is no count: it is greater than 2^63"),
        (check_dict, [], TypeError, "it is of type list, not a dict"),
        (check_json, {1}, TypeError, "it holds what JSON can't say: Object of type set is not JSON serializable"),
    ],
)
def test_all_else_is_refused(check: Callable[[Any, str], Any], value: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error) as raised:
        check(value, "it")
    assert str(raised.value) == told


def test_json_is_checked_as_deep_as_it_goes() -> None:
    check_dict({"a": [1, None, {"b": ()}]}, "it")
    with pytest.raises(TypeError, match=r"^it holds what JSON can't say: Out of range float values"):
        check_dict({"a": [math.nan]}, "it")
