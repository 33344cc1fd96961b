"""Means of means, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from themis_intervals import Interval, Part, nested_weights, weighted_mean


def test_each_level_is_averaged_without_weights() -> None:
    places = [
        ("logic", "three"),
        ("logic", "five"),
        ("logic", "seven"),
        ("dates", "dates"),
        ("words", "a"),
        ("words", "b"),
    ]
    assert nested_weights(places) == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 6, 1 / 6])
    assert nested_weights([("a",), ("b",)]) == [0.5, 0.5]
    assert nested_weights([]) == []


def test_variances_of_parts_add_up() -> None:
    value, error, interval = weighted_mean([Part(0.5, 0.1, 50), Part(0.7, 0.2, 20)], [0.25, 0.75], None, None)
    assert value == pytest.approx(0.65)
    assert error == pytest.approx(math.sqrt((0.25 * 0.1) ** 2 + (0.75 * 0.2) ** 2))
    # Satterthwaite: (a + b)² / (a² / 49 + b² / 19) with a = 0.000625 and b = 0.0225 gives 20.1; t = 2.0856
    assert interval.low == pytest.approx(0.65 - 2.0856 * error, abs=1e-4)
    assert interval.method == "nested"


def test_one_item_or_no_spread_in_all_gives_no_interval() -> None:
    assert weighted_mean([Part(1.0, None, 1), Part(0.5, 0.1, 9)], [0.5, 0.5], 0, 1)[1:] == (
        None,
        Interval(missing="one_item"),
    )
    assert weighted_mean([Part(1.0, 0.0, 5), Part(0.5, 0.0, 9)], [0.5, 0.5], 0, 1)[2] == Interval(missing="no_spread")
