"""What k answers to one item are worth, estimated without bias from the n that there are, in closed form. No I/O.

Each is the mean over all choices of k of the n answers, so it does not depend on their order, and no choice is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction
from functools import lru_cache
from math import comb, fsum

__all__ = ["all_of_k", "best_of_k", "majority_of_k", "pass_at_k", "worst_of_k"]


@lru_cache(maxsize=4096)
def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): of all choices of k from n samples with c right ones, the share with a right one.

    Chen et al., "Evaluating Large Language Models Trained on Code", 2021, section 2.1. Integers up to the one division,
    so it is exact. Raises ValueError if k > n, where it is not defined.
    """
    _check(n, c, k)
    choices = comb(n, k)
    return (choices - comb(n - c, k)) / choices


@lru_cache(maxsize=4096)
def all_of_k(n: int, c: int, k: int) -> float:
    """pass^k, C(c, k) / C(n, k): the share of all choices of k in which every sample is right.

    Yao et al., "τ-bench: A Benchmark for Tool-Agent-User Interaction in Real-World Domains", 2024, section 4. Raises
    ValueError if k > n.
    """
    _check(n, c, k)
    return comb(c, k) / comb(n, k)


def best_of_k(values: Sequence[float], k: int) -> float:
    """The mean, over all choices of k, of the greatest value; of zeros and ones it is `pass_at_k`.

    The i-th smallest value is the greatest of C(i-1, k-1) choices. Raises ValueError if there are fewer than k.
    """
    _check(len(values), 0, k)
    chosen = (value * comb(place, k - 1) for place, value in enumerate(sorted(values)))
    return fsum(chosen) / comb(len(values), k)


def worst_of_k(values: Sequence[float], k: int) -> float:
    """The mean, over all choices of k, of the least value; of zeros and ones it is `all_of_k`."""
    return -best_of_k([-value for value in values], k)


def majority_of_k(votes: Sequence[tuple[Hashable | None, float]], k: int) -> float:
    """The mean, over all choices of k, of the value of the vote that most of them give.

    A vote is what was found in an answer, with the score of that answer; where answers of one vote differ in score,
    their mean stands for it. Votes that are equally often the most share: the mean over them. None is no vote: it
    counts only where none of the k has one, and then as the mean of such scores. Raises ValueError if there are fewer
    than k votes.
    """
    _check(len(votes), 0, k)
    values: dict[Hashable | None, list[float]] = {}
    for vote, value in votes:
        values.setdefault(vote, []).append(value)
    without = values.pop(None, [])
    of_votes = {vote: fsum(each) / len(each) for vote, each in values.items()}
    counts = {vote: len(each) for vote, each in values.items()}
    shares = _shares(tuple(sorted(Counter(counts.values()).items())), len(without), k)
    total = [shares[count] * of_votes[vote] for vote, count in counts.items()]
    if without:
        total.append(comb(len(without), k) / comb(len(votes), k) * fsum(without) / len(without))
    return fsum(total)


@lru_cache(maxsize=4096)
def _shares(sizes: tuple[tuple[int, int], ...], without: int, k: int) -> dict[int, float]:
    """How likely one vote wins, by how often it was given. `sizes` are pairs of that and how many votes have it."""
    every = [size for size, times in sizes for _ in range(times)]
    choices = comb(sum(every) + without, k)
    found = {}
    for size, _ in sizes:
        others = list(every)
        others.remove(size)
        found[size] = float(sum(_won(size, most, others, without, k) for most in range(1, min(size, k) + 1)) / choices)
    return found


def _won(size: int, most: int, others: Sequence[int], without: int, k: int) -> Fraction:
    """In how many choices of k a vote comes `most` times and no other one more often; one of t equal ones counts 1/t.

    The others are counted by a generating function: how many answers they take, and how many of them tie.
    """
    ways: dict[tuple[int, int], int] = {(0, 0): 1}
    for other in others:
        grown: dict[tuple[int, int], int] = {}
        for (taken, ties), count in ways.items():
            for more in range(min(other, most, k - most - taken) + 1):
                place = (taken + more, ties + (more == most))
                grown[place] = grown.get(place, 0) + count * comb(other, more)
        ways = grown
    return Fraction(comb(size, most)) * sum(
        (Fraction(count * comb(without, k - most - taken), ties + 1) for (taken, ties), count in ways.items()),
        Fraction(0),
    )


def _check(n: int, c: int, k: int) -> None:
    if not 0 < k <= n or not 0 <= c <= n:
        raise ValueError(f"{k} of {n} samples, {c} of them right, are not defined")
