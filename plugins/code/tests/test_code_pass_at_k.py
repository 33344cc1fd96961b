"""The aggregate of programs: pass@k, averaged over items."""

from __future__ import annotations

import logging

import pytest

from themis_core import Score
from themis_plugin_code.unit_tests import UnitTests


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
