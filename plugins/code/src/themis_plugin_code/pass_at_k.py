"""pass@k: the chance that one of k samples is right, estimated without bias from n of them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["pass_at_k", "samples"]


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): of all choices of k from n samples with c right ones, the share with a right one.

    Chen et al., "Evaluating Large Language Models Trained on Code", 2021, section 2.1; as a product, for no binomial
    coefficient is then too large. Raises ValueError if k > n, where it is not defined.
    """
    if not 0 < k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@{k} of {n} samples, {c} of them right, is not defined")
    none_right = 1.0
    for i in range(n - c + 1, n + 1):
        none_right *= max(0.0, 1.0 - k / i)
    return 1.0 - none_right


def samples(values: Iterable[float | None]) -> tuple[int, int]:
    """How many samples have a score, and how many of these are right."""
    scored = [value for value in values if value is not None]
    return len(scored), sum(value == 1.0 for value in scored)
