"""Agreement figures against worked examples, to the digits printed there."""

from __future__ import annotations

import math
import random
from itertools import permutations

import pytest

from themis_intervals import t_quantile, wilson
from themis_labels.agreement import (
    Estimate,
    Rate,
    Scale,
    alpha,
    kappa,
    kappa_of_table,
    position_bias,
    self_agreement,
)

UNWEIGHTED = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
# Fleiss, Cohen, Everitt (1969), table 1: 200 subjects, shares .53 .05 .02 / .11 .14 .05 / .01 .06 .03.
FLEISS_1969 = [[106, 10, 4], [22, 28, 10], [2, 12, 6]]
FLEISS_1969_WEIGHTS = [[1, 0, 4 / 9], [0, 1, 6 / 9], [4 / 9, 6 / 9, 1]]
# Cohen (1968), table 1: 200 subjects, shares .44 .07 .09 / .05 .20 .05 / .01 .03 .06, disagreement weights 0 to 6.
COHEN_1968 = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
COHEN_1968_WEIGHTS = [[1 - weight / 6 for weight in row] for row in ([0, 1, 3], [1, 0, 6], [3, 6, 0])]
# SAS/STAT User's Guide, The FREQ Procedure, "Agreement Study": two dermatologists, 88 patients, four grades.
SKIN = [[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]]


def pairs_of(table: list[list[int]]) -> list[tuple[float, float]]:
    return [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]


@pytest.mark.parametrize(
    ("table", "weights", "value", "variance"),
    [
        (FLEISS_1969, UNWEIGHTED, 0.429, 0.002885),
        (FLEISS_1969, FLEISS_1969_WEIGHTS, 0.507, 0.003248),
        (COHEN_1968, UNWEIGHTED, 0.492, None),
        (COHEN_1968, COHEN_1968_WEIGHTS, 0.348, None),
        # Fleiss, "Statistical Methods for Rates and Proportions", 2nd edition (1981), table 13.1
        ([[75, 1, 4], [5, 4, 1], [0, 0, 10]], UNWEIGHTED, 0.676, None),
    ],
)
def test_kappa_and_its_variance_are_those_of_the_worked_examples(
    table: list[list[int]], weights: list[list[float]], value: float, variance: float | None
) -> None:
    found = kappa_of_table(table, weights)
    assert found.value is not None
    assert found.standard_error is not None
    assert round(found.value, 3) == value
    if variance is not None:
        assert round(found.standard_error**2, 6) == variance


@pytest.mark.parametrize(
    ("table", "digits", "printed", "t"),
    # The last number is the 97.5 % point of t with n - 1 degrees of freedom, by scipy.
    [
        (SKIN, 4, (0.3449, 0.0724), 1.987608282),
        # Bonett, `ci.kappa(.05, 31, 12, 4, 58)` of statpsych, after Fleiss and Paik (2003)
        ([[31, 12], [4, 58]], 7, (0.6756757, 0.0734476), 1.983037526),
    ],
)
def test_the_error_of_kappa_is_that_of_the_worked_examples_and_its_interval_solves_wilsons_equation(
    table: list[list[int]], digits: int, printed: tuple[float, float], t: float
) -> None:
    found = kappa(pairs_of(table))
    assert found.value is not None
    assert found.standard_error is not None
    assert (round(found.value, digits), round(found.standard_error, digits)) == printed
    assert found.n == sum(map(sum, table))
    # An end x is as many errors from kappa as t says, where the error shrinks towards -1 and 1 with 1 - x².
    for end in (found.low, found.high):
        assert end is not None
        shrunk = found.standard_error * math.sqrt((1 - end**2) / (1 - found.value**2))
        assert abs(found.value - end) == pytest.approx(t * shrunk, rel=1e-6)


@pytest.mark.parametrize(
    "table",
    [
        [[4, 1], [0, 0]], [[4, 0], [1, 5]], [[48, 1], [0, 1]], [[98, 1], [0, 1]], [[990, 1], [0, 9]],
        [[0, 5], [4, 1]], [[0, 40], [40, 1]], [[1, 2], [2, 1]], [[3, 0, 0], [0, 3, 0], [0, 1, 3]],
    ],
)  # fmt: skip
def test_an_interval_of_kappa_lies_within_its_range_about_kappa_and_has_a_width(table: list[list[int]]) -> None:
    found = kappa(pairs_of(table))
    if found.low is None or found.high is None:
        assert found.standard_error is None  # as of readers one of whom used one category
        return
    assert found.value is not None
    assert -1 <= found.low < found.value < found.high <= 1


def test_the_scale_weighs_disagreements() -> None:
    # Grades 0 and 4 are two ranks apart and four points, 0 and 3 one rank and three points. By hand, n = 4:
    # nominal: observed 2/4; expected (2·1 + 1·1 + 1·2) / 16 = 5/16; (8/16 - 5/16) / (11/16) = 3/11.
    # ordinal, weights 1, 1/2, 0: disagreement observed (1/2 + 1/2) / 4 = 4/16; expected: ranks of the first reader
    #   0 0 1 2, of the second 0 1 2 2: (0+½+1+1 + 0+½+1+1 + ½+0+½+½ + 1+½+0+0) / 16 = 8/16; 1 - 4/8.
    # interval: squares of distances in 0, 3, 4: observed (9 + 1) / 4; expected, first 0 0 3 4, second 0 3 4 4:
    #   (0+9+16+16 + 0+9+16+16 + 9+0+1+1 + 16+1+0+0) / 16 = 110/16; 1 - 40/110.
    pairs = [(0.0, 0.0), (0.0, 3.0), (3.0, 4.0), (4.0, 4.0)]
    scales: tuple[Scale, ...] = ("nominal", "ordinal", "interval")
    assert [kappa(pairs, scale).value for scale in scales] == pytest.approx([3 / 11, 0.5, 7 / 11])


@pytest.mark.parametrize(
    ("pairs", "n"),
    [([], 0), ([(1.0, 1.0)] * 9, 9), ([(float(each), float(each + 1)) for each in range(200)], 200)],
    ids=["no pair", "one category", "no categories"],
)
def test_kappa_is_absent_where_it_has_no_meaning(pairs: list[tuple[float, float]], n: int) -> None:
    assert kappa(pairs) == Estimate(None, n=n)


# Five items are the fewest: (1, 1) twice, (0, 0) twice and one disagreement.
FIVE = [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]


@pytest.mark.parametrize(
    ("pairs", "items", "value", "has_interval"),
    [
        ([(1.0, 1.0), (0.0, 0.0)], None, 1.0, False),  # two labels that agree
        ([(1.0, 0.0)], None, 0.0, False),  # one that does not
        ([(1.0, 1.0), (0.0, 0.0)] * 20, None, 1.0, False),  # readers who never differ: no variance
        (FIVE[:4], None, 0.5, False),
        (FIVE, None, 8 / 13, True),  # observed 20/25, expected (2·3 + 3·2) / 25
        (FIVE * 2, list("abcdeabcde"), 8 / 13, True),
        (FIVE * 2, list("abcdabcdab"), 8 / 13, False),  # ten answers to four items
    ],
)
def test_kappa_has_an_interval_where_the_data_can_tell_it(
    pairs: list[tuple[float, float]], items: list[str] | None, value: float, has_interval: bool
) -> None:
    found = kappa(pairs, items=items)
    assert found.value == pytest.approx(value)
    assert found.n == len(pairs)
    assert [each is not None for each in (found.low, found.high, found.standard_error)] == [has_interval] * 3


def test_answers_to_one_item_count_together_for_the_interval_of_kappa() -> None:
    # Three answers to each item that are all alike tell what one tells; as answers to items of their own, three times
    # as much. By Yang and Zhou's variance: the deviations of an item are added before they are squared.
    pairs = pairs_of([[31, 12], [4, 58]])
    alone = kappa(pairs)
    alike = kappa(pairs * 3, items=[str(number) for number in range(105)] * 3)
    apart = kappa(pairs * 3)
    told = (alone.value, alone.low, alone.high, alone.standard_error)
    assert (alike.value, alike.low, alike.high, alike.standard_error) == pytest.approx(told)
    assert alone.standard_error is not None
    assert apart.standard_error == pytest.approx(alone.standard_error / math.sqrt(3))
    assert kappa(pairs, items=[str(number) for number in range(105)]) == alone


_ = None
# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), example C: four observers, twelve units.
KRIPPENDORFF_C = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
# The same, examples A (binary) and B (nominal, a to e as 1 to 5): two observers.
KRIPPENDORFF_A = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
KRIPPENDORFF_B = [[1, 1, 2, 2, 4, 3, 3, 3, 5, 4, 4, 1], [2, 1, 2, 2, 2, 3, 3, 3, 5, 4, 4, 4]]
# "Krippendorff's alpha", Wikipedia, a computational example: three coders, fifteen units.
WIKIPEDIA = [
    [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
    [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
    [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
]


@pytest.mark.parametrize(
    ("readers", "scale", "printed"),
    [
        (KRIPPENDORFF_A, "nominal", 0.095),
        (KRIPPENDORFF_B, "nominal", 0.692),
        (KRIPPENDORFF_C, "nominal", 0.743),
        (KRIPPENDORFF_C, "ordinal", 0.815),
        (KRIPPENDORFF_C, "interval", 0.849),
        (WIKIPEDIA, "nominal", 0.691),
        (WIKIPEDIA, "interval", 0.811),
    ],
)
def test_alpha_is_that_of_the_worked_examples(readers: list[list[float | None]], scale: Scale, printed: float) -> None:
    found = alpha(zip(*readers, strict=True), scale)
    assert found.value is not None
    assert round(found.value, 3) == printed
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high <= 1


def test_alphas_interval_is_the_same_every_time_and_covers_most_of_the_samples() -> None:
    # Two readers who agree with probability 0.8 on two equally frequent values: alpha is 2 · 0.8 - 1.
    draw = random.Random(3)
    covered = 0
    for _sample in range(60):
        units = [(a, a if draw.random() < 0.8 else 1 - a) for a in (draw.randrange(2) for _unit in range(100))]
        found = alpha(units, resamples=200)
        assert found == alpha(units, resamples=200)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.6 <= found.high
    assert 53 <= covered <= 60


@pytest.mark.parametrize(
    ("units", "items", "value", "has_interval"),
    [
        ([(1.0, 1.0), (0.0, 0.0)], None, 1.0, False),
        ([(1.0, 0.0)], None, 0.0, False),
        ([(1.0, 1.0), (0.0, 0.0)] * 20, None, 1.0, False),
        (FIVE[:4], None, 1 - 7 * 2 / 30, False),  # two ordered pairs differ in units, 2 · 3 · 5 among the 8 values
        (FIVE, None, 1 - 9 * 2 / 50, True),
        (FIVE * 2, list("abcdabcdab"), None, False),
        (FIVE * 2, list("abcdeabcde"), None, True),
    ],
)
def test_alpha_has_an_interval_where_the_data_can_tell_it(
    units: list[tuple[float, float]], items: list[str] | None, value: float | None, has_interval: bool
) -> None:
    found = alpha(units, items=items)
    assert found.value == pytest.approx(alpha(units, resamples=0).value if value is None else value)
    assert [each is not None for each in (found.low, found.high)] == [has_interval] * 2


def test_items_of_one_unit_each_give_alphas_interval_of_the_units() -> None:
    units = list(zip(*KRIPPENDORFF_C, strict=True))
    assert alpha(units, items=map(str, range(12))) == alpha(units)
    wide, narrow = alpha(units * 4, items=[str(number) for number in range(12)] * 4), alpha(units * 4)
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low


@pytest.mark.parametrize(("units", "n"), [([], 0), ([(1.0, None)], 0), ([(1.0, 1.0), (1.0, 1.0)], 2)])
def test_alpha_is_absent_where_the_values_tell_nothing(units: list[tuple[float | None, ...]], n: int) -> None:
    assert alpha(units) == Estimate(None, n=n)


@pytest.mark.parametrize(
    ("groups", "value", "n"),
    [
        ([], None, 0),
        ([[1.0]], None, 0),
        ([[1.0, 1.0], [1.0, 0.0]], 0.5, 2),
        ([[1.0, 1.0, 0.0]], 1 / 3, 1),  # of three pairs, one is equal
        ([[1.0, 1.0, 1.0], [0.5, 0.25], [0.0]], 0.5, 2),
    ],
)
def test_self_agreement_is_the_mean_share_of_equal_pairs(
    groups: list[list[float]], value: float | None, n: int
) -> None:
    found = self_agreement(groups)
    assert (found.value, found.n) == (pytest.approx(value), n)


def test_position_bias_compares_the_first_place_with_the_second() -> None:
    # 15 for the first place, 5 for the second: twice the sum of C(20, k) for k = 0 to 5, over 2^20, = 43400 / 1048576.
    pairs = [(1.0, 0.0)] * 15 + [(0.0, 1.0)] * 5 + [(1.0, 1.0)] * 8 + [(0.5, 0.5)] * 2
    assert position_bias(pairs) == {
        "n": 30, "consistent": 1 / 3, "first": 15, "second": 5, "bias": pytest.approx(1 / 3),
        "p": pytest.approx(43400 / 1048576),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (1, 1, 1.0), (3, 3, 1.0), (5, 0, 2 / 32), (0, 5, 2 / 32), (0, 3000, 0.0), (50_000, 50_000, 1.0)],
)
def test_the_test_of_position_is_exact_and_two_sided(first: int, second: int, p: float) -> None:
    found = position_bias([(1.0, 0.0)] * first + [(0.0, 1.0)] * second + [(1.0, 1.0)])
    assert found["p"] == pytest.approx(p)


def test_no_pair_has_no_position_bias() -> None:
    nothing = {"n": 0, "consistent": None, "first": 0, "second": 0, "bias": None, "p": None}
    assert position_bias([]) == nothing


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_newcombes_table(successes: int, n: int, low: float, high: float) -> None:
    assert tuple(round(each, 4) for each in wilson(successes, n)) == (low, high)
    assert Rate(successes, n, n).estimate() == Estimate(successes / n, *wilson(successes, n), n)


def test_trials_of_one_item_count_as_one_for_the_interval() -> None:
    assert Rate(15, 20, 10).estimate() == Estimate(0.75, *wilson(7.5, 10), 20)
    assert Rate(0, 0, 0).estimate() == Estimate(None)


@pytest.mark.parametrize(
    ("freedom", "printed"),
    # Abramowitz and Stegun, table 26.10, 97.5 % point
    [(1, 12.706), (2, 4.303), (4, 2.776), (5, 2.571), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_students_t_has_the_quantiles_of_the_table(freedom: int, printed: float) -> None:
    assert t_quantile(freedom) == pytest.approx(printed, abs=1e-3)


def test_order_and_names_of_values_do_not_matter() -> None:
    for order in permutations(range(3)):
        renamed = [(float(order[int(a)]), float(order[int(b)])) for a, b in pairs_of(FLEISS_1969)]
        assert kappa(renamed).value == pytest.approx(kappa(pairs_of(FLEISS_1969)).value)
    swapped = [(b, a) for a, b in pairs_of(FLEISS_1969)]
    assert math.isclose(alpha(swapped).value or 0, alpha(pairs_of(FLEISS_1969)).value or 0)
