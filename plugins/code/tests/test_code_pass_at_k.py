"""pass@k against numbers that were worked out by hand or by counting all choices."""

from __future__ import annotations

import logging
from itertools import combinations

import pytest

from themis_core import Score
from themis_plugin_code.pass_at_k import pass_at_k
from themis_plugin_code.unit_tests import UnitTests


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (5, 0, 1, 0.0),
        (5, 5, 5, 1.0),
        (5, 1, 5, 1.0),
        (5, 2, 1, 0.4),  # c / n
        (5, 1, 2, 0.4),  # 1 - C(4, 2) / C(5, 2) = 1 - 6 / 10
        (10, 3, 5, 0.9166666666666666),  # 1 - C(7, 5) / C(10, 5) = 1 - 21 / 252
        (200, 1, 100, 0.5),
        (200, 100, 1, 0.5),
        (2000, 1000, 1, 0.5),
        (2000, 1, 1000, 0.5),
        (4, 3, 2, 1.0),  # two choices of four can't both be the one that is wrong
    ],
)
def test_pass_at_k_is_the_share_of_choices_with_a_right_one(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_equals_counting_all_choices(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            choices = [any(i < c for i in chosen) for chosen in combinations(range(n), k)]
            assert pass_at_k(n, c, k) == pytest.approx(sum(choices) / len(choices), abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (0, 0, 1), (3, 4, 1)])
def test_pass_at_k_is_not_defined_for_fewer_than_k_samples(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="is not defined"):
        pass_at_k(n, c, k)


def scores(*items: str) -> list[list[Score]]:
    return [[Score(float(each)) for each in item] for item in items]


def test_the_aggregate_is_the_mean_over_items() -> None:
    metric = UnitTests(k=2)
    # 1 - C(4, 2) / C(5, 2) = 0.4; 1 - C(1, 2) / C(3, 2) = 1; 0
    assert metric.aggregate_items(scores("10000", "110", "00")) == pytest.approx((0.4 + 1 + 0) / 3)
    assert UnitTests().aggregate_items(scores("10000", "11")) == pytest.approx((0.2 + 1) / 2)


def test_an_item_with_fewer_than_k_samples_leaves_no_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "themis"):
        assert UnitTests(k=3).aggregate_items(scores("111", "11", "1")) is None
    (record,) = caplog.records
    assert record.getMessage() == (
        "code/unit_tests: pass@3 needs 3 scored samples of each item, and 2 items have fewer: set `num_samples` to 3 "
        "or more, or lower `k`; samples that failed are asked for again by the next run"
    )


def test_k_and_the_limits_that_must_hold_are_in_no_score_key() -> None:
    assert UnitTests(k=5, require=("cpu",)).identity() == UnitTests().identity()
    assert UnitTests(cpu_s=6).identity() != UnitTests().identity()
