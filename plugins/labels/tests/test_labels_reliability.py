"""Reliability: what people gave the answers that a judge gave one value."""

from __future__ import annotations

from pathlib import Path

import pytest

from themis_intervals import wilson
from themis_labels import Band, Estimate, reliability


def test_each_value_of_the_judge_is_a_band_with_wilsons_interval_over_items() -> None:
    pairs = [(1.0, 1.0)] * 9 + [(1.0, 0.0)] + [(0.0, 0.0)] * 5
    items = [f"i{number}" for number in range(15)]
    assert reliability(pairs, items) == [
        Band(0.0, 5, Estimate(0.0, *wilson(0, 5), 5)),
        Band(1.0, 10, Estimate(0.9, *wilson(9, 10), 10)),
    ]
    (band,) = reliability(pairs[:10], ["i"] * 10)  # ten answers to one item are one
    assert band.human == Estimate(0.9, *wilson(0.9, 1), 10)


def test_grades_have_the_mean_of_labels_within_the_scale() -> None:
    pairs = [(0.5, 0.25), (0.5, 0.75), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (1.0, 1.0)]
    middle, top = reliability(pairs, list("abcdef"), lowest=0.0, highest=1.0)
    assert (middle.judge, middle.n, middle.human.value) == (0.5, 5, 0.5)
    assert middle.human.low is not None
    assert middle.human.high is not None
    assert 0.0 < middle.human.low < 0.5 < middle.human.high < 1.0
    assert (top.human.value, top.human.low, top.human.high) == (1.0, None, None)  # one answer tells no spread


def test_more_than_ten_values_are_counted_in_ten_spans() -> None:
    pairs = [(number / 100, 0.0 if number < 50 else 1.0) for number in range(101)]
    bands = reliability(pairs, list(map(str, range(101))))
    assert [band.n for band in bands] == [*[10] * 9, 11]
    assert [band.human.value for band in bands] == [*[0.0] * 5, *[1.0] * 5]
    assert bands[0].judge == pytest.approx(0.045)


def test_nothing_has_no_bands_and_items_must_be_told() -> None:
    assert reliability([], []) == []
    with pytest.raises(ValueError, match="pairs: 1, items: 0"):
        reliability([(1.0, 1.0)], [])


def test_the_example_of_the_readme_runs() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    exec(text.partition("```python\n")[2].partition("```")[0], {})
