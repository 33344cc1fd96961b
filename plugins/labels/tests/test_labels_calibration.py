"""Corrected scores: by hand, at the edges, and how often their intervals hold the truth."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest

from themis_labels.agreement import Estimate, Rate
from themis_labels.calibration import corrected_mean, corrected_share


def share(hits: int, n: int) -> Rate:
    return Rate(hits, n, n)


def test_the_corrected_share_is_that_of_the_formulas() -> None:
    # Rogan and Gladen (1978): (0.5 + 0.8 - 1) / (0.9 + 0.8 - 1) = 3/7.
    # Lang and Reiczigel (2014), z² = 3.841459: moved share 151.920729 / 303.841459 = 0.5, sensitivity 91 / 102 =
    # 0.892157, specificity 81 / 102 = 0.794118, J' = 0.686275, π' = 0.294118 / 0.686275 = 0.428571.
    # v: 0.25 / 303.841459 = 0.00082280, 0.096213 / 102 = 0.00094327, 0.163495 / 102 = 0.00160289.
    # Shift 2 · 3.841459 · (0.428571 · 0.00094327 - 0.571429 · 0.00160289) = -0.0039312.
    # Error sqrt(0.00082280 + 0.183673 · 0.00094327 + 0.326531 · 0.00160289) / 0.686275 = 0.0567996.
    # 0.428571 - 0.003931 ± 1.959964 · 0.0567996 = 0.424640 ± 0.111325
    found = corrected_share(share(150, 300), share(90, 100), share(80, 100))
    assert found.value == pytest.approx(3 / 7)
    assert (found.low, found.high, found.n) == (pytest.approx(0.31332, abs=1e-5), pytest.approx(0.53597, abs=1e-5), 300)


def test_trials_of_one_item_widen_the_corrected_interval() -> None:
    rates = (share(90, 100), share(80, 100))
    single, repeated = corrected_share(share(75, 150), *rates), corrected_share(Rate(150, 300, 150), *rates)
    assert (repeated.value, repeated.low, repeated.high) == (single.value, single.low, single.high)
    assert (single.n, repeated.n) == (150, 300)


@pytest.mark.parametrize(
    ("positive", "sensitivity", "specificity", "value"),
    [
        (share(0, 0), share(9, 10), share(9, 10), None),  # nothing without a label
        (share(5, 10), share(0, 0), share(9, 10), None),  # no answer with label 1
        (share(5, 10), share(9, 10), share(0, 0), None),
        (share(5, 10), share(5, 10), share(5, 10), None),  # no better than chance
        (share(5, 10), share(1, 10), share(1, 10), None),  # worse than chance
        (share(5, 10), share(4, 4), share(9, 10), 4 / 9),  # four answers with label 1 tell too little for an interval
        (share(2, 4), share(9, 10), share(9, 10), 0.5),
    ],
)
def test_there_is_no_interval_where_the_labels_tell_too_little(
    positive: Rate, sensitivity: Rate, specificity: Rate, value: float | None
) -> None:
    found = corrected_share(positive, sensitivity, specificity)
    assert found == Estimate(None if value is None else pytest.approx(value), n=positive.n)


def test_the_corrected_share_stays_in_its_range_and_in_its_interval() -> None:
    for n, n_sens, n_spec in product((5, 20, 500), (5, 8, 100), (5, 8, 100)):
        for hits, right, left in product((0, 1, n // 2, n), (n_sens // 2 + 1, n_sens), (n_spec // 2 + 1, n_spec)):
            found = corrected_share(share(hits, n), share(right, n_sens), share(left, n_spec))
            assert found.value is not None
            if found.low is None or found.high is None:
                # Too many or too few are called positive for any share, if the judge errs as on the labelled answers.
                assert found.value in (0.0, 1.0)
                continue
            assert 0 <= found.low <= found.value <= found.high <= 1
            assert found.low < found.high


def test_a_perfect_judge_needs_no_correction() -> None:
    assert corrected_share(share(30, 100), share(50, 50), share(50, 50)).value == pytest.approx(0.3)


def test_the_corrected_mean_is_the_mean_and_the_mean_error() -> None:
    # Scores: mean 3, variance 2.5, of 5. Errors human - judge: 1, 0, 1, 0, 1: mean 0.6, variance 0.3, of 5. Error
    # sqrt(0.5 + 0.06) = 0.748331; Welch: 0.56² / (0.5²/4 + 0.06²/4) = 4.9463 degrees of freedom, t = 2.5793.
    found = corrected_mean([1, 2, 3, 4, 5], [(1, 2), (2, 2), (3, 4), (4, 4), (4, 5)])
    assert (found.value, found.standard_error, found.n) == (pytest.approx(3.6), pytest.approx(0.748331, abs=1e-6), 5)
    assert (found.low, found.high) == (pytest.approx(3.6 - 1.930, abs=2e-3), pytest.approx(3.6 + 1.930, abs=2e-3))


@pytest.mark.parametrize(
    ("scores", "pairs", "found"),
    [
        ([], [(1, 1)] * 9, Estimate(None, n=0)),
        ([1.0] * 9, [], Estimate(None, n=9)),
        ([1.0] * 9, [(1, 2)] * 4, Estimate(2.0, n=9)),
        ([1.0] * 9, [(1, 2)] * 9, Estimate(2.0, n=9)),
        ([1.0] * 9, [(1, 2), (2, 2)] * 9, Estimate(1.5, n=9)),  # the judge gave all others one grade
        ([1.0, 2.0] * 9, [(1, 1), (2, 2)] * 9, Estimate(1.5, n=18)),  # and never differed from people
        ([0.1 + 0.2, 0.3] * 9, [(0.1, 0.9), (0.4, 0.1)] * 9, Estimate(pytest.approx(0.55), n=18)),  # but for rounding
        ([0.2, 0.4] * 9, [(0.7, 0.8), (0.2, 0.3)] * 9, Estimate(pytest.approx(0.4), n=18)),
    ],
)
def test_the_corrected_mean_claims_no_more_than_the_values_tell(
    scores: list[float], pairs: list[tuple[float, float]], found: Estimate
) -> None:
    assert corrected_mean(scores, pairs) == found


@pytest.mark.parametrize(
    ("scores", "pairs", "scale", "value", "low", "high"),
    [
        # The judge is too kind by a half where people looked; elsewhere its mean is 0.4. By hand: means 0.4 and -0.5.
        ([0.2, 0.6] * 9, [(1, 0.4), (1, 0.6)] * 9, (0, 1), 0.0, 0.0, None),
        ([0.8, 0.4] * 9, [(0, 0.6), (0, 0.4)] * 9, (0, 1), 1.0, None, 1.0),
        ([4, 5] * 9, [(3, 4), (4, 4)] * 9, (1, 5), 5.0, None, 5.0),
        ([-1, 0, 1] * 3, [(-1, -1), (1, 0)] * 3, (-1, 1), -0.5, -1, None),
        ([0.9, 1.0] * 9, [(0.5, 0.6), (0.5, 0.4)] * 9, (0, 1), 0.95, None, 1.0),
        ([4, 5] * 9, [(3, 4), (4, 4)] * 9, (0, None), 5.0, None, None),
        ([0.2, 0.6] * 9, [(1, 0.4), (1, 0.6)] * 9, (None, 1), -0.1, None, None),
    ],
)  # fmt: skip
def test_the_corrected_mean_and_its_interval_are_cut_at_the_ends_of_the_scale(
    scores: list[float], pairs: list[tuple[float, float]], scale: Any, value: float,
    low: float | None, high: float | None,
) -> None:  # fmt: skip
    found = corrected_mean(scores, pairs, lowest=scale[0], highest=scale[1])
    whole = corrected_mean(scores, pairs)
    assert found.value == pytest.approx(value)
    assert (found.low, found.high) == (whole.low if low is None else low, whole.high if high is None else high)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.high


@pytest.mark.parametrize(
    ("scores", "pairs", "value"),
    [
        ([0.1, 0.2] * 9, [(1, 0.1), (0.9, 0.1)] * 9, 0.0),  # less than nothing: 0.15 - 0.85
        ([0.8, 0.9] * 9, [(0, 0.9), (0.1, 0.9)] * 9, 1.0),
    ],
)
def test_a_judge_that_errs_otherwise_than_on_the_labelled_answers_gives_no_interval(
    scores: list[float], pairs: list[tuple[float, float]], value: float
) -> None:
    found = corrected_mean(scores, pairs, lowest=0.0, highest=1.0)
    assert (found.value, found.low, found.high) == (value, None, None)
    # Of answers that people call wrong the judge calls half right, and of 500 others none: none can be wrong.
    shares = corrected_share(share(0, 500), share(99, 100), share(50, 100))
    assert (shares.value, shares.low, shares.high) == (0.0, None, None)
    shares = corrected_share(share(500, 500), share(50, 100), share(99, 100))
    assert (shares.value, shares.low, shares.high) == (1.0, None, None)


@pytest.mark.parametrize("truth", [0.1, 0.5, 0.9])
def test_corrected_intervals_hold_the_truth_and_uncorrected_ones_do_not(truth: float) -> None:
    # The whole table is in docs/calibrating-judges.md. With 300 trials, 95 % is within 3.8 (three standard errors).
    draw, covered, naive, trials = random.Random(5), 0, 0, 300

    def count(n: int, p: float) -> int:
        return sum(draw.random() < p for _ in range(n))

    for _ in range(trials):
        positive = share(count(400, truth * 0.9 + (1 - truth) * 0.3), 400)
        found = corrected_share(positive, share(count(100, 0.9), 100), share(count(100, 0.7), 100))
        covered += (found.low or 0) <= truth <= (found.high or 0)
        raw = positive.estimate()
        naive += (raw.low or 0) <= truth <= (raw.high or 0)
    assert 0.912 <= covered / trials <= 0.988
    assert naive / trials < 0.6
