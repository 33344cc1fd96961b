"""The procedures against scipy, published examples and their own definitions; p-value and interval never disagree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, optimize, stats

from themis_plugin_stats.corpus import bootstrapped, jackknifed
from themis_plugin_stats.planning import smallest_difference
from themis_plugin_stats.procedures import (
    ByReplicates,
    ByStandardError,
    Discordant,
    Procedure,
    Unspread,
    Unvaried,
    paired,
    welch,
)


def agrees(test: Procedure) -> bool:
    """Whether p < 0.05 exactly when the 95 % interval leaves out 0; there is none where all differ alike."""
    if test.no_interval == "no_spread":
        return test.interval() == (None, None)
    low, high = test.interval()
    return (test.p_value < 0.05) == ((low is not None and low > 0) or (high is not None and high < 0))


# --- zeros and ones


@pytest.mark.parametrize(
    ("wins", "losses", "n", "p"),
    [
        (86, 150, 1600, stats.binomtest(86, 236).pvalue),  # approval ratings: Agresti, Categorical Data Analysis, 10.1
        (9, 1, 10, 2 * 11 / 1024),  # ten fair coins: (C(10, 0) + C(10, 1)) / 2^10 in each direction
        (50, 0, 50, 2 / 2**50),
        (3, 3, 20, 1.0),
        (0, 0, 20, 1.0),
    ],
)
def test_the_p_value_of_zeros_and_ones_is_mcnemars_exact_one(wins: int, losses: int, n: int, p: float) -> None:
    assert Discordant.of(wins, losses, n).p_value == pytest.approx(p)


def test_p_value_and_interval_of_zeros_and_ones_agree_whatever_is_seen() -> None:
    tables = ((b, m - b, n) for m in range(1, 61) for b in range(m + 1) for n in (m, m + 5, 20 * m))
    assert [table for table in tables if not agrees(Discordant.of(*table))] == []
    large = [(b, m - b, 3 * m) for m in (100, 333, 1000, 5000) for b in range(m // 2 - 75, m // 2 + 75)]
    assert [table for table in large if not agrees(Discordant.of(*table))] == []


def likely(share: float, null: float, wins: int, losses: int, n: int) -> float:
    """Minus the log-likelihood of `share` losses and `share + null` wins."""
    shares = np.array([share + null, share, 1 - 2 * share - null])
    return float(-np.sum(np.array([wins, losses, n - wins - losses]) * np.log(np.maximum(shares, 1e-300))))


@pytest.mark.parametrize(("wins", "losses", "n"), [(12, 4, 40), (30, 21, 200), (7, 1, 21), (5, 0, 30)])
@pytest.mark.parametrize("null", [-0.2, -0.05, 0.1, 0.3])
def test_the_variance_is_that_of_the_most_likely_shares(wins: int, losses: int, n: int, null: float) -> None:
    low, high = max(0.0, -null), (1 - null) / 2
    found = optimize.minimize_scalar(
        likely, bounds=(low, high), args=(null, wins, losses, n), method="bounded", options={"xatol": 1e-12}
    )
    expected = n * (2 * found.x + null - null**2)
    assert Discordant.of(wins, losses, n)._variance(null) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_the_interval_of_zeros_and_ones_is_tangos_where_the_correction_is_nothing() -> None:
    # With as many wins as losses nothing is corrected. Tango 1998, 2.3: with b = c = 0 the ends are z²/(n + z²).
    z2 = stats.norm.isf(0.025) ** 2
    assert Discordant.of(0, 0, 50).interval() == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)))


def test_the_interval_holds_that_how_many_items_differ_is_chance_too() -> None:
    low, high = Discordant.of(50, 0, 200).interval()
    assert low is not None
    assert high is not None
    assert low < 0.2 < 0.3 < high  # a quarter of 200: ± 0.06, as for any share


# --- flips of signs


def flips_of(difference: np.ndarray) -> float:
    found = stats.permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=np.inf)
    return float(found.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_few_items_are_compared_by_all_flips_as_scipy_does(seed: int) -> None:
    difference = np.random.default_rng(seed).normal(0.5, 1, 11)
    test = paired(np.zeros(11), difference)
    assert (test.method, test.p_value) == ("sign flips", pytest.approx(flips_of(difference)))


def test_darwins_maize_is_compared_as_fisher_did() -> None:
    # Fisher, The Design of Experiments, section 21: 863 of 32768 flips give a sum as great, either way 1726: 5.267 %.
    eighths = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)
    sums = np.array([sum(signs) for signs in product(*[(each, -each) for each in eighths])])
    assert int(np.sum(sums >= eighths.sum())) == 863
    test = paired(np.zeros(15), eighths)
    assert test.p_value == pytest.approx(2 * 863 / 2**15, abs=0.005)  # drawn, of more than fourteen
    assert agrees(test)


def test_an_interval_by_flips_holds_the_nulls_that_scipy_does_not_reject() -> None:
    difference = np.random.default_rng(3).normal(0.3, 1, 10)
    low, high = paired(np.zeros(10), difference).interval()
    assert low is not None
    assert high is not None
    for end, outwards in ((low, -1), (high, 1)):
        assert flips_of(difference - (end + outwards * 1e-6)) < 0.05
        assert flips_of(difference - (end - outwards * 1e-6)) >= 0.05


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=13))
def test_p_value_and_interval_agree_on_any_few_differences(differences: list[float]) -> None:
    test = paired(np.full(len(differences), 0.3), np.array(differences) + 0.3)
    assert agrees(test)
    assert 0 < test.p_value <= 1


def test_who_wins_each_of_fifty_has_a_tiny_p_value_whatever_the_scores_are() -> None:
    a, clusters = np.full(50, 0.2), np.repeat(np.arange(25), 2)
    assert paired(np.zeros(50), np.ones(50)).p_value < 1e-12
    assert paired(a, a + 0.3).p_value == 2 * 0.5**50
    assert paired(a, a + np.linspace(0.1, 0.5, 50)).p_value < 1e-12
    assert paired(a[:40], a[:40] + np.linspace(0.1, 0.5, 40)).p_value == 2 * 0.5**40
    assert paired(a, a + 0.3, clusters).p_value == 2 * 0.5**25
    assert welch(np.zeros(50), np.ones(50)).p_value == pytest.approx(2 / comb(100, 50))
    assert jackknifed(lambda items: 1.0, 50).p_value == 2 * 0.5**50
    assert bootstrapped(lambda items: 1.0, 50).p_value == 2 * 0.5**50


ALIKE = {
    "items": lambda: paired(np.zeros(6), np.full(6, 0.25)),
    "many items": lambda: paired(np.full(80, 0.2), np.full(80, 0.3)),
    "clusters": lambda: paired(np.zeros(60), np.ones(60), np.arange(60) // 3),
    "clusters that differ by nothing": lambda: paired(np.zeros(20), np.tile([1.0, -1.0], 10), np.arange(20) // 2),
    "groups": lambda: welch(np.full(8, 0.1 + 0.2), np.full(9, 0.7)),
    "equal groups": lambda: welch(np.full(8, 0.1), np.full(9, 0.1)),
    "jackknife": lambda: jackknifed(lambda items: 0.1, 12),
    "bootstrap": lambda: bootstrapped(lambda items: 0.1, 12),
    "bootstrap of nothing": lambda: bootstrapped(lambda items: 0.0, 12),
}


@pytest.mark.parametrize("found", ALIKE.values(), ids=ALIKE)
def test_no_interval_is_of_width_0_and_no_equivalence_comes_of_one(found: Callable[[], Procedure]) -> None:
    test = found()
    assert isinstance(test, Unspread)
    assert (test.interval(), test.no_interval, test.p_equivalent(10.0)) == ((None, None), "no_spread", 1.0)
    assert smallest_difference(test) is None
    assert (test.p_value < 0.05) == (abs(test.difference) > 0)


def test_fifty_of_fifty_right_have_the_exact_p_value_and_interval() -> None:
    test = paired(np.zeros(50), np.ones(50))
    low, high = test.interval()
    assert low is not None
    assert (test.p_value, 0.85 < low < 0.95, high) == (2 * 0.5**50, True, 1.0)


def test_few_replicates_that_differ_at_the_far_end_alone_give_no_interval_of_width_0() -> None:
    test = ByReplicates(0.5, 50, 50, 0.1, "flips", np.array([0.4, *[0.5] * 997, 0.6]))
    assert (test.interval(), test.p_equivalent(0.9)) == ((None, None), 1.0)


# --- Student's t


def test_many_items_are_compared_by_the_paired_t_test() -> None:
    draw = np.random.default_rng(1)
    a = draw.normal(0, 1, 80)
    b = a + draw.normal(0.2, 1, 80)
    test, expected = paired(a, b), stats.ttest_rel(b, a)
    interval = expected.confidence_interval()
    assert (test.method, test.p_value) == ("paired t", pytest.approx(expected.pvalue))
    assert test.interval() == pytest.approx((interval.low, interval.high))


def test_sleep_of_ten_patients_is_compared_as_student_did_where_t_is_asked_of_it() -> None:
    # Student 1908: ten patients, two drugs; t = 4.0621, p = 0.00283.
    one = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    two = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    error = float((two - one).std(ddof=1) / np.sqrt(10))
    test = ByStandardError(1.58, 10, 10, error, "t", 9)
    assert (test.p_value, test.interval()) == (pytest.approx(0.00283, abs=5e-6), pytest.approx((0.70, 2.46), abs=5e-3))
    assert paired(one, two).p_value == pytest.approx(4 / 1024)  # exact flips


def test_clusters_of_one_are_no_clusters_and_twins_count_once() -> None:
    draw = np.random.default_rng(2)
    a, b = draw.normal(0, 1, 100), draw.normal(0.3, 1, 100)
    alone, single = paired(a, b), paired(a, b, np.arange(100))
    assert (single.method, single.p_value) == ("cluster t", pytest.approx(alone.p_value))
    twins = paired(np.repeat(a, 2), np.repeat(b, 2), np.repeat(np.arange(100), 2))
    assert (twins.units, twins.n, twins.p_value) == (100, 200, pytest.approx(alone.p_value))


def test_the_error_by_clusters_is_the_robust_one() -> None:
    draw = np.random.default_rng(5)
    cluster = draw.integers(0, 60, 400)
    difference = draw.normal(0, 1, 400) + draw.normal(0, 1, 60)[cluster]
    test = paired(np.zeros(400), difference, cluster)
    # Of a regression on the constant alone, CR2 of Bell and McCaffrey 2002: residuals times (I - H)^(-1/2), by cluster.
    left = difference - difference.mean()
    meat = 0.0
    for each in np.unique(cluster):
        own = left[cluster == each]
        hat = np.full((len(own), len(own)), 1 / 400)
        meat += float(np.linalg.inv(linalg.sqrtm(np.eye(len(own)) - hat)).dot(own).sum()) ** 2
    assert test.standard_error == pytest.approx(np.sqrt(meat) / 400)


UNEQUAL = {
    "one of most items": [500] + [1] * 60,
    "five of most": [100] * 5 + [1] * 60,
    "as words are": [600 // k for k in range(1, 61)],
    "one of a third": [300] + [10] * 59,
    "nearly equal": [8, 9, 10] * 30,
}


@pytest.mark.parametrize("sizes", UNEQUAL.values(), ids=UNEQUAL)
def test_clusters_are_worth_as_many_as_the_degrees_of_freedom_of_bell_and_mccaffrey_say(sizes: list[int]) -> None:
    share = np.array(sizes) / sum(sizes)
    left = np.eye(len(sizes)) - np.outer(share, np.ones(len(sizes)))
    form = np.diag((1 - share) ** -0.5) @ left @ np.diag(share)
    covariance = form @ form.T
    expected = np.trace(covariance) ** 2 / np.sum(covariance**2) + 1
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    test = paired(np.zeros(len(cluster)), np.random.default_rng(1).normal(0.2, 1, len(sizes))[cluster], cluster)
    assert test.effective_units == pytest.approx(expected)
    assert test.method == ("cluster t" if expected >= 50 else "cluster sign flips")
    assert agrees(test)


def test_one_cluster_of_most_items_shows_nothing_and_the_interval_stays_in_the_range() -> None:
    cluster = np.repeat(np.arange(61), UNEQUAL["one of most items"])
    b = np.where(cluster == 0, 1.0, np.random.default_rng(2).choice([-1.0, 0.0, 1.0], 560))
    test = paired(np.zeros(560), b, cluster, span=1.0)
    low, high = test.interval()
    assert low is not None
    assert high is not None
    assert (test.p_value > 0.5, -1 <= low < 0, 0.9 < high <= 1) == (True, True, True)
    assert smallest_difference(test) is None
    b[:] = 1.0
    b[-3:] = 0.0
    assert paired(np.zeros(560), b, np.arange(560) // 2, span=1.0).interval()[1] == 1.0


def test_unpaired_scores_are_compared_by_welchs_test() -> None:
    draw = np.random.default_rng(4)
    a, b = draw.normal(0, 1, 30), draw.normal(0.5, 3, 50)
    expected = stats.ttest_ind(b, a, equal_var=False)
    interval = expected.confidence_interval()
    assert welch(a, b).p_value == pytest.approx(expected.pvalue)
    assert welch(a, b).interval() == pytest.approx((interval.low, interval.high))


# --- numbers of all items at once


def test_the_jackknife_of_a_mean_is_the_paired_t_test() -> None:
    difference = np.random.default_rng(6).normal(0.2, 1, 60)
    test = jackknifed(lambda items: float(difference[items].mean()), 60)
    assert test.p_value == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert agrees(test)


def test_the_bootstrap_of_a_mean_is_close_to_the_t_test_and_draws_whole_clusters() -> None:
    difference = np.random.default_rng(7).normal(0.25, 1, 80)
    test = bootstrapped(lambda items: float(difference[items].mean()), 80)
    assert test.standard_error == pytest.approx(difference.std() / np.sqrt(80), rel=0.1)
    assert agrees(test)
    twins = np.repeat(difference, 2)
    clustered = bootstrapped(lambda items: float(twins[items].mean()), 160, np.repeat(np.arange(80), 2))
    assert clustered.standard_error == pytest.approx(test.standard_error, rel=0.1)


@pytest.mark.parametrize("procedure", [jackknifed, bootstrapped])
def test_fewer_than_six_units_show_nothing_of_a_number_of_all_items(procedure: Callable[..., Procedure]) -> None:
    difference = np.linspace(0.9, 1.1, 8)
    few = procedure(lambda items: float(difference[items].mean()), 5)
    assert (few.p_value, few.interval(), few.no_interval) == (1.0, (None, None), "too_few")
    assert procedure(lambda items: float(difference[items].mean()), 8, np.arange(8) // 2).p_value == 1.0
    assert procedure(lambda items: float(difference[items].mean()), 8).p_value == 2 * 0.5**8


@pytest.mark.parametrize("procedure", [jackknifed, bootstrapped])
def test_large_clusters_count_in_a_number_of_all_items_too(procedure: Callable[..., Procedure]) -> None:
    difference = np.random.default_rng(9).normal(0.3, 1, 660)
    cluster = np.repeat(np.arange(66), [100] * 6 + [1] * 60)
    test = procedure(lambda items: float(difference[items].mean()), 660, cluster)
    assert isinstance(test, ByStandardError)
    assert 5 < test.freedom < 6
    few = procedure(lambda items: float(difference[items].mean()), 560, cluster[100:])
    assert (few.interval(), few.no_interval, smallest_difference(few)) == ((None, None), "too_few", None)


def of_medians(a: np.ndarray, b: np.ndarray, items: np.ndarray) -> float:
    return float(np.median(b[items]) - np.median(a[items]))


@pytest.mark.parametrize("n", [3, 5, 6, 8, 12, 20])
def test_a_bootstrap_of_few_items_finds_few_differences_where_there_are_none(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("themis_plugin_stats.corpus.MOST_DRAWS", 199)
    draw, found = np.random.default_rng(n), 0
    for _ in range(200):
        a, b = (draw.beta(2, 2, n) for _ in "ab")
        test = bootstrapped(partial(of_medians, a, b), n)
        assert agrees(test)
        found += test.p_value < 0.05
    assert found <= 18  # 5 % of 200 come out higher than 9 % once in a hundred times


# --- nothing to judge by, equivalence


def test_the_same_score_on_every_item_bounds_the_difference_by_the_rule_of_three() -> None:
    test = paired(np.full(100, 0.5), np.full(100, 0.5), span=1.0)
    assert isinstance(test, Unvaried)
    low, high = test.interval()
    assert (low, high) == (pytest.approx(-0.0362, abs=1e-4), pytest.approx(0.0362, abs=1e-4))  # 1 - 0.025^(1/100)
    assert (test.p_value, test.p_equivalent(0.04) < 0.05, test.p_equivalent(0.02) < 0.05) == (1.0, True, False)
    assert paired(np.array([0.5]), np.array([0.7])).p_value == 1.0


def test_equivalence_is_two_one_sided_tests() -> None:
    difference = np.random.default_rng(8).normal(0.01, 0.1, 200)
    test = paired(np.zeros(200), difference)
    above = stats.ttest_1samp(difference, -0.03, alternative="greater").pvalue
    below = stats.ttest_1samp(difference, 0.03, alternative="less").pvalue
    assert test.p_equivalent(0.03) == pytest.approx(max(above, below))
    low, high = test.interval(0.9)
    assert low is not None
    assert high is not None
    assert (test.p_equivalent(0.03) < 0.05) == (low > -0.03 and high < 0.03)


def test_replicates_say_what_they_count() -> None:
    test = ByReplicates(1.0, 10, 10, 1.0, "flips", np.sort(np.arange(-5, 94, dtype=float)))
    assert (test.above(0.0), test.below(0.0)) == (7 / 100, 95 / 100)
    assert test.interval(0.9) == (-5.0 + 3, 93.0 - 3)


@pytest.mark.parametrize("scale", [1e-13, 1.0, 1e13])
def test_a_comparison_does_not_depend_on_the_unit_of_the_scores(scale: float) -> None:
    draw = np.random.default_rng(3)
    a = draw.random(30)
    b = a + draw.random(30) - 0.3
    plain, scaled = paired(a, b), paired(a * scale, b * scale)
    assert scaled.p_value == pytest.approx(plain.p_value)
    assert scaled.difference == pytest.approx(plain.difference * scale, rel=1e-6)
    for found in (paired(np.zeros(30), np.full(30, scale / 4)), welch(np.zeros(30), np.full(30, scale / 4))):
        assert (found.p_value < 1e-6, found.no_interval) == (True, "no_spread")


@pytest.mark.parametrize("scale", [1e-13, 1.0, 1e13])
def test_what_rounding_alone_makes_is_no_difference(scale: float) -> None:
    a = np.full(30, 0.3 * scale)
    assert paired(a, a * (1 + 1e-15)).p_value == 1
    assert welch(a, a * (1 + 1e-15)).p_value == 1
