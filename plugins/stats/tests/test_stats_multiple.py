"""Corrections and groups against their published examples; power and needed items against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from themis_plugin_stats.multiple import corrected, groups_of
from themis_plugin_stats.planning import (
    items_to_decide,
    least_items,
    power_of,
    power_of_mcnemar,
    power_of_t,
    smallest_difference,
)
from themis_plugin_stats.procedures import Discordant, paired
from themis_plugin_stats.variance import components

# Benjamini and Hochberg 1995, section 3.1: fifteen p-values, of which their procedure rejects four at 5 %.
PUBLISHED = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip


def test_holm_and_benjamini_hochberg_reject_what_was_published() -> None:
    assert [sum(p < 0.05 for p in corrected(PUBLISHED, how)) for how in ("holm", "bh", "none")] == [3, 4, 9]
    assert corrected(PUBLISHED, "bh") == pytest.approx(stats.false_discovery_control(PUBLISHED))


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert corrected([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert corrected([0.9, 0.8]) == [1.0, 1.0]
    assert corrected([]) == []


@pytest.mark.parametrize(
    ("apart", "groups"),
    [
        ([], [["a", "b", "c"]]),
        ([("a", "c")], [["a", "b"], ["b", "c"]]),
        ([("a", "b"), ("a", "c")], [["a"], ["b", "c"]]),
        ([("a", "b"), ("a", "c"), ("c", "b")], [["a"], ["b"], ["c"]]),
    ],
)
def test_groups_are_the_largest_of_which_no_two_are_told_apart(
    apart: list[tuple[str, str]], groups: list[list[str]]
) -> None:
    assert groups_of(["a", "b", "c"], apart) == groups


def test_the_power_of_mcnemars_test_is_the_share_of_tables_that_it_rejects() -> None:
    draw = np.random.default_rng(1)
    tables = draw.multinomial(120, [0.18, 0.06, 0.76], 4000)
    rejected = np.mean([Discordant.of(int(b), int(c), 120).p_value < 0.05 for b, c, _ in tables])
    assert power_of_mcnemar(120, 0.24, 0.12) == pytest.approx(float(rejected), abs=0.02)


def test_the_power_of_t_is_the_published_one() -> None:
    # Cohen 1988, table 2.3.5: d = 0.5 of differences, n = 34 pairs, two-sided 5 %: power 0.81.
    assert power_of_t(34, 1.0, 0.5) == pytest.approx(0.81, abs=0.01)
    assert least_items(lambda n: power_of_t(n, 1.0, 0.5)) == 34


def test_what_so_many_items_could_show_is_found_four_times_out_of_five() -> None:
    test = paired(np.zeros(400), np.random.default_rng(2).normal(0.0, 1.0, 400))
    least = smallest_difference(test)
    assert least is not None
    assert power_of_t(400, test.standard_error * 20, least) == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize(
    ("wins", "losses", "n"), [(40, 40, 500), (0, 0, 20), (1, 0, 8), (0, 0, 40), (3, 4, 40), (6, 0, 6), (2, 1, 5000)]
)
def test_what_zeros_and_ones_could_show_is_what_power_says_of_it(wins: int, losses: int, n: int) -> None:
    found = Discordant.of(wins, losses, n)
    least = smallest_difference(found)
    assert least is not None
    for size, enough in ((least * 1.001, True), (least * 0.999, False)):
        assert (power_of(found, size)(n) >= 0.8) == enough
        differing = max(size, (wins + losses) / n)  # no fewer can differ than the difference takes
        assert (power_of_mcnemar(n, min(differing, 1.0), min(size, 1.0)) >= 0.8) == enough


@pytest.mark.parametrize("n", range(1, 6))
def test_so_few_items_that_the_exact_test_can_reject_nothing_could_show_nothing(n: int) -> None:
    assert [smallest_difference(Discordant.of(wins, 0, n)) for wins in range(n + 1)] == [None] * (n + 1)
    assert smallest_difference(paired(np.zeros(n), np.linspace(0.1, 0.9, n))) is None


def test_the_items_that_would_decide_do_so_if_the_difference_is_as_it_seems() -> None:
    test = Discordant.of(30, 22, 300)
    needed = items_to_decide(test)
    assert needed is not None
    assert power_of_mcnemar(needed, 52 / 300, 8 / 300) == pytest.approx(0.8, abs=0.02)
    assert items_to_decide(Discordant.of(10, 10, 300)) is None


def test_components_of_variance_are_found_again() -> None:
    draw = np.random.default_rng(3)
    items, prompts, samples = 3000, 6, 4
    truth = {"item": 0.20, "prompt": 0.02, "item_by_prompt": 0.05, "sample": 0.10}
    of_prompt = draw.normal(0, 1, prompts)
    of_prompt = (of_prompt - of_prompt.mean()) / of_prompt.std(ddof=1) * np.sqrt(truth["prompt"])
    cells = (
        draw.normal(0, np.sqrt(truth["item"]), (items, 1))
        + of_prompt
        + draw.normal(0, np.sqrt(truth["item_by_prompt"]), (items, prompts))
    )
    drawn = cells[:, :, None] + draw.normal(0, np.sqrt(truth["sample"]), (items, prompts, samples))
    found = components(drawn.mean(axis=2), float(drawn.var(axis=2, ddof=1).mean()), samples)
    assert {name: pytest.approx(getattr(found, name), rel=0.1) for name in truth} == truth
    after = found.after()
    assert min(after, key=lambda name: after[name]) == "prompt variants"
    assert sum(found.shares().values()) == pytest.approx(1.0)


def test_the_error_of_one_prompt_is_that_of_the_mean() -> None:
    means = np.random.default_rng(4).normal(0, 1, (50, 1))
    assert components(means).error() == pytest.approx(float(means.std(ddof=1) / np.sqrt(50)))
    assert list(components(means).after()) == ["items"]
