"""Statistics against published numbers and against tables that were worked out by hand."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from themis_intervals import (
    Z95,
    ClusteredMean,
    Interval,
    dealt,
    decimals,
    interval_about,
    jackknife,
    shown,
    t_quantile,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17 (1998), table I,
    # method 3 (score without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(successes: int, n: int, low: float, high: float) -> None:
    assert tuple(round(end, 4) for end in wilson(successes, n)) == (low, high)
    mirrored = wilson(n - successes, n)
    assert tuple(round(end, 4) for end in mirrored) == (round(1 - high, 4), round(1 - low, 4))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20, 29, 49, 1000, 12345])
def test_wilsons_interval_of_all_or_nothing_ends_at_the_end(n: int) -> None:
    assert wilson(n, n)[1] == 1.0
    assert wilson(0, n)[0] == 0.0


def clustered(clusters: list[list[float]], lowest: float | None = 0.0, highest: float | None = 1.0) -> ClusteredMean:
    mean = ClusteredMean(lowest, highest)
    for cluster in clusters:
        for place, value in enumerate(cluster):
            mean.add(value, new_cluster=place == 0)
    return mean


@pytest.mark.parametrize(
    ("clusters", "mean", "error"),
    [
        # residuals ±0.5, sums per cluster 1 and −1: sqrt((1 + 1) · 2/1) / 4
        ([[1, 1], [0, 0]], 0.5, 0.5),
        # the two samples of an item cancel out, so every sum is 0
        ([[1, 0], [0, 1]], 0.5, 0.0),
        # one value a cluster: the sample standard deviation over sqrt(n), sqrt(1) / sqrt(3)
        ([[1], [2], [3]], 2.0, 1 / math.sqrt(3)),
        # unequal: mean 10/4; residuals 0.5 | 1.5 − 0.5 − 1.5 = −0.5; sqrt((0.25 + 0.25) · 2) / 4
        ([[3], [4, 2, 1]], 2.5, 0.25),
        # far from zero, where naive sums of squares would lose all digits
        ([[1e9 + 1, 1e9 + 1], [1e9, 1e9]], 1e9 + 0.5, 0.5),
        ([[1, 0, 1]], 2 / 3, None),
        ([], None, None),
    ],
)
def test_the_clustered_standard_error_is_that_worked_out_by_hand(
    clusters: list[list[float]], mean: float | None, error: float | None
) -> None:
    made = clustered(clusters)
    assert made.mean == (None if mean is None else pytest.approx(mean, rel=1e-15))
    assert made.standard_error == (None if error is None else pytest.approx(error, abs=1e-12))


@pytest.mark.parametrize(
    ("freedom", "probability", "quantile"),
    # scipy 1.17.1, scipy.stats.t.ppf(probability, freedom), which agrees with the three digits of Student's table.
    [
        (1, 0.975, 12.706204736174694),
        (1.5, 0.975, 6.016663104427929),
        (2, 0.975, 4.302652729749462),
        (2.37, 0.975, 3.7189208397974567),
        (3, 0.975, 3.1824463052837078),
        (4, 0.975, 2.7764451051977934),
        (9, 0.975, 2.262157162798205),
        (19, 0.975, 2.0930240544083087),
        (29.3, 0.975, 2.044320421500141),
        (99, 0.975, 1.9842169515864174),
        (333.3, 0.975, 1.9671069867099256),
        (999, 0.975, 1.9623414611334493),
        (1000, 0.975, 1.9623390808264083),
        (1001, 0.975, 1.9623367052808798),
        (123456.7, 0.975, 1.9599832001362323),
        (1, 0.995, 63.656741162871526),
        (5, 0.6, 0.2671808657041451),
        (12, 0.9995, 4.3177912836062475),
        (40, 0.75, 0.6806727171644491),
        (2000, 0.99, 2.3282138419397724),
    ],
)
def test_the_t_quantile_is_that_of_scipy_to_nine_digits(freedom: float, probability: float, quantile: float) -> None:
    assert t_quantile(freedom, probability) == pytest.approx(quantile, rel=1e-10)


def test_the_t_quantile_has_no_step_where_its_method_changes_and_ends_at_the_normal_one() -> None:
    below, above = t_quantile(1000), t_quantile(1000 + 1e-9)
    assert below == pytest.approx(above, rel=1e-11)
    assert t_quantile(1e15) == pytest.approx(Z95, rel=1e-12)
    assert [t_quantile(1, p) for p in (0.75, 0.9)] == pytest.approx([1.0, math.tan(0.4 * math.pi)])  # Cauchy's, closed


@pytest.mark.parametrize(("freedom", "probability"), [(0.5, 0.975), (math.nan, 0.975), (5, 0.5), (5, 1.0), (5, 0.2)])
def test_a_t_quantile_that_is_not_defined_here_is_an_error(freedom: float, probability: float) -> None:
    with pytest.raises(ValueError, match="no t quantile of"):
        t_quantile(freedom, probability)


T2 = 4.302652729749462
"""t at 2 degrees of freedom."""


@pytest.mark.parametrize(
    ("clusters", "lowest", "highest", "expected"),
    [
        # zeros and ones, one per item: Wilson's
        ([[1], [0], [1], [1]], 0.0, 1.0, (*wilson(3, 4), "wilson")),
        # all at one end: each item counts once, samples of it are no draws of their own
        ([[1, 1], [1, 1], [1, 1]], 0.0, 1.0, (*wilson(3, 3), "wilson")),
        ([[0]] * 5, 0.0, 1.0, (*wilson(0, 5), "wilson")),
        # also where the metric could have given values between: each answer that differs costs at most 1
        ([[1.0, 1.0], [1.0]], 0.0, 1.0, (*wilson(2, 2), "wilson")),
        # zeros and ones of a range that has other ends are no proportion, and its ends are one
        ([[0], [100], [100]], 0.0, 100.0, (*(100 * end for end in wilson(2, 3)), "wilson")),
        ([[-1], [1], [1], [1]], -1.0, 1.0, (*(2 * end - 1 for end in wilson(3, 4)), "wilson")),
        ([[0], [1], [1]], None, None, (2 / 3 - T2 / 3, 2 / 3 + T2 / 3, "t")),
        # items whose samples cancel out: that they are alike may be chance, so each counts once
        ([[1, 0], [0, 1]], 0.0, 1.0, (*wilson(1, 2), "wilson")),
        # clusters of zeros and ones: error (sums 1, -1, 0: sqrt(2 * 3/2) / 6 = 0.2887), size 0.25 / error²
        ([[1, 1], [0, 0], [1, 0]], 0.0, 1.0, (*wilson(1.5, 3, Z95 * T2 / 2.5705818356363146), "wilson_t")),
        # between the ends: error 0.1 / sqrt(3), size 0.25 / error² = 75
        ([[0.4], [0.5], [0.6]], 0.0, 1.0, (*wilson(37.5, 75, T2), "wilson_t")),
        ([[40], [50], [60]], 0.0, 100.0, (*(100 * end for end in wilson(37.5, 75, T2)), "wilson_t")),
        # without a second end: t, cut at the one there is
        ([[1], [2], [3]], None, None, (2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3), "t")),
        ([[1], [2], [3]], 0.0, None, (0.0, 2 + T2 / math.sqrt(3), "t")),
        ([[1], [2], [3]], None, 3.0, (2 - T2 / math.sqrt(3), 3.0, "t")),
    ],
)
def test_the_interval_is_the_one_worked_out_by_hand(
    clusters: list[list[float]], lowest: float | None, highest: float | None, expected: tuple[float, float, str]
) -> None:
    low, high, method, missing = clustered(clusters, lowest, highest).interval()
    assert (method, missing) == (expected[2], None)
    assert (low, high) == pytest.approx(expected[:2], abs=1e-12)


@pytest.mark.parametrize(
    ("clusters", "lowest", "highest", "missing"),
    [
        ([], 0.0, 1.0, "one_item"),
        ([[1]], 0.0, 1.0, "one_item"),
        ([[0.5]], 0.0, 1.0, "one_item"),
        ([[1, 0, 1, 1]], 0.0, 1.0, "one_item"),  # many samples of one item say nothing of other items
        # equal values tell nothing of how much others would differ: an interval of width 0 would be a lie
        ([[0.25]] * 5, 0.0, 1.0, "no_spread"),
        ([[0.1 + 0.2]] * 50, 0.0, 1.0, "no_spread"),
        ([[3.0], [3.0], [3.0]], 1.0, 5.0, "no_spread"),
        ([[0.0]] * 20, 0.0, None, "no_spread"),
        ([[0.0]] * 20, None, None, "no_spread"),
        ([[1.0]] * 20, -1.0, None, "no_spread"),
        ([[0.2, 0.4], [0.4, 0.2]], 0.0, 1.0, "no_spread"),  # the items are alike, though their samples are not
    ],
)
def test_no_interval_has_its_reason(
    clusters: list[list[float]], lowest: float | None, highest: float | None, missing: str
) -> None:
    assert clustered(clusters, lowest, highest).interval() == Interval(missing=missing)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=4), min_size=2, max_size=30),
    st.sampled_from([(0.0, 1.0), (0.0, 100.0), (-1.0, 1.0), (0.0, None), (None, None)]),
)
def test_every_interval_holds_the_mean_and_stays_in_the_range(
    shares: list[list[float]], range_: tuple[float | None, float | None]
) -> None:
    lowest, highest = range_
    low, span = lowest or 0.0, (1.0 if highest is None else highest) - (lowest or 0.0)
    made = clustered([[low + span * each for each in cluster] for cluster in shares], *range_)
    found = made.interval()
    if found.low is None or found.high is None:
        assert (found.missing, found.method) == ("no_spread", None)
        return
    assert made.mean is not None
    assert found.low - 1e-9 <= made.mean <= found.high + 1e-9
    assert found.low < found.high
    assert lowest is None or found.low >= lowest
    assert highest is None or found.high <= highest


def test_one_sample_is_the_limit_of_wilsons_interval_for_clusters() -> None:
    # Single answers are clusters of one: apart from their number, which ddof makes n - 1, both ways are one.
    values = [[1.0]] * 300 + [[0.0]] * 100
    single = clustered(values).interval()
    pair = clustered([*values[1:-1], [1.0, 0.0]]).interval()
    assert (single.method, pair.method) == ("wilson", "wilson_t")
    assert pair[:2] == pytest.approx(single[:2], abs=1e-3)


def test_the_jackknife_of_means_is_the_standard_error_of_the_mean() -> None:
    values = [0.1, 0.5, 0.9, 0.4, 0.35]
    left_out = [(sum(values) - each) / 4 for each in values]
    assert jackknife(left_out) == pytest.approx(clustered([[each] for each in values]).standard_error, rel=1e-12)


def test_groups_are_of_one_size_and_always_the_same() -> None:
    assert dealt(4, 4) == [0, 1, 2, 3]
    groups = dealt(103, 20)
    assert sorted(map(groups.count, range(20))) == [5] * 17 + [6] * 3
    assert groups == dealt(103, 20)
    assert groups != [place % 20 for place in range(103)]


def test_an_interval_about_an_end_of_the_range_is_cut_there() -> None:
    assert interval_about(1.0, 0.1, 2.0, 0.0, 1.0) == (0.8, 1.0)
    assert interval_about(0.0, 0.1, 2.0, 0.0, 1.0) == (0.0, 0.2)


def test_the_interval_covers_where_the_mean_and_1_96_errors_do_not() -> None:
    draw, truth = random.Random(5), 5 / 6

    def covered(n: int) -> tuple[float, float]:
        ours = theirs = 0
        for _ in range(1500):
            made = clustered([[draw.betavariate(5, 1)] for _ in range(n)])
            low, high, *_ = made.interval()
            assert made.mean is not None
            assert made.standard_error is not None
            ours += low is not None and high is not None and low <= truth <= high
            theirs += abs(made.mean - truth) <= Z95 * made.standard_error
        return ours / 1500, theirs / 1500

    for n in (5, 10):
        ours, theirs = covered(n)
        assert 0.93 <= ours <= 0.97
        assert theirs < 0.91


@pytest.mark.parametrize(
    ("low", "high", "printed"),
    [
        (0.1, 0.2, "[0.100, 0.200]"), (0.1234, 0.1236, "[0.123, 0.124]"), (0.12341, 0.12342, "[0.12341, 0.12342]"),
        (0.5, 0.50004, "[0.50000, 0.50004]"), (0.0, 1e-7, "[0.0000000, 0.0000001]"), (-1.0, 1.0, "[-1.000, 1.000]"),
        (None, None, "–"),
    ],
)  # fmt: skip
def test_a_narrow_interval_is_printed_with_as_many_digits_as_tell_its_ends_apart(
    low: float | None, high: float | None, printed: str
) -> None:
    assert shown(low, high) == printed


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0.000"),
        (0.12345, "0.123"),
        (0.001, "0.001"),
        (0.00044444, "0.000444"),
        (-1e-12, "-1e-12"),
        (1e9, "1000000000.000"),
    ],
)
def test_a_small_number_is_not_told_as_zero(value: float, told: str) -> None:
    assert decimals(value) == told
    assert decimals(0.5, 4, "+") == "+0.5000"
