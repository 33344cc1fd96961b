"""What k of n answers are worth, against numbers worked out by hand and against counting all choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from themis_intervals import all_of_k, best_of_k, majority_of_k, pass_at_k, worst_of_k


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
def test_pass_at_k_and_pass_to_the_k_equal_counting_all_choices(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            choices = [[i < c for i in chosen] for chosen in combinations(range(n), k)]
            assert pass_at_k(n, c, k) == pytest.approx(fmean(map(any, choices)), abs=1e-12)
            assert all_of_k(n, c, k) == pytest.approx(fmean(map(all, choices)), abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (0, 0, 1), (3, 4, 1), (3, 1, 0)])
def test_none_is_defined_for_fewer_than_k_samples(n: int, c: int, k: int) -> None:
    for of_k in (pass_at_k, all_of_k):
        with pytest.raises(ValueError, match="not defined"):
            of_k(n, c, k)


VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=7)


@given(VALUES, st.integers(1, 7))
def test_best_and_worst_of_k_equal_counting_all_choices(values: list[float], k: int) -> None:
    if k > len(values):
        with pytest.raises(ValueError, match="not defined"):
            best_of_k(values, k)
        return
    choices = list(combinations(values, k))
    assert best_of_k(values, k) == pytest.approx(fmean(map(max, choices)))
    assert worst_of_k(values, k) == pytest.approx(fmean(map(min, choices)))


VOTES = st.lists(st.sampled_from([("a", 1.0), ("b", 0.0), ("c", 0.5), (None, 0.0)]), min_size=1, max_size=7)


def vote(chosen: Sequence[tuple[str | None, float]]) -> float:
    counts = Counter(name for name, _ in chosen if name is not None)
    if not counts:
        return fmean(value for _, value in chosen)
    most = max(counts.values())
    return fmean(dict(chosen)[name] for name, count in counts.items() if count == most)


@given(VOTES, st.integers(1, 7))
def test_the_majority_of_k_equals_voting_in_all_choices(votes: list[tuple[str | None, float]], k: int) -> None:
    if k <= len(votes):
        assert majority_of_k(votes, k) == pytest.approx(fmean(map(vote, combinations(votes, k))))


def test_a_majority_of_many_samples_is_quickly_known() -> None:
    votes = [("right", 1.0)] * 40 + [(f"wrong {number % 20}", 0.0) for number in range(60)]
    assert majority_of_k(votes, 100) == 1.0
    assert 0.9 < majority_of_k(votes, 33) <= 1.0
