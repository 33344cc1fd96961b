"""pass@k: the chance that one of k samples is right, estimated without bias from n of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import comb

__all__ = ["pass_at_k", "samples"]


@lru_cache(maxsize=4096)
def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): of all choices of k from n samples with c right ones, the share with a right one.

    Chen et al., "Evaluating Large Language Models Trained on Code", 2021, section 2.1. Integers up to the one division,
    so it is exact. Raises ValueError if k > n, where it is not defined.
    """
    if not 0 < k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@{k} of {n} samples, {c} of them right, is not defined")
    choices = comb(n, k)
    return (choices - comb(n - c, k)) / choices


def samples(values: Iterable[float | None]) -> tuple[int, int]:
    """How many samples have a score, and how many of these are right."""
    scored = [value for value in values if value is not None]
    return len(scored), sum(value == 1.0 for value in scored)
