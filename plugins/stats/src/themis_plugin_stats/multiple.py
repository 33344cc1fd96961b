"""Several comparisons at once: corrected p-values, and groups of what can't be told apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias

import numpy as np

__all__ = ["Correction", "corrected", "groups_of"]

Correction: TypeAlias = Literal["holm", "bh", "none"]


def corrected(p_values: Sequence[float], correction: Correction = "holm") -> list[float]:
    """P-values for several comparisons at once, in the order given.

    `holm` keeps the chance of any false alarm at the level (Holm 1979), `bh` the share of false alarms among what is
    found (Benjamini and Hochberg 1995).
    """
    if correction == "none" or not p_values:
        return list(p_values)
    p, n = np.asarray(p_values), len(p_values)
    order = np.argsort(p, kind="stable")
    if correction == "holm":
        found = np.maximum.accumulate(p[order] * (n - np.arange(n)))
    else:
        found = np.minimum.accumulate((p[order] * n / np.arange(1, n + 1))[::-1])[::-1]
    back = np.empty(n)
    back[order] = np.minimum(found, 1.0)
    return [float(each) for each in back]


def groups_of(names: Sequence[str], told_apart: Collection[tuple[str, str]]) -> list[list[str]]:
    """The largest groups of names of which no two are told apart, in the order of `names` (Piepho 2004).

    A name may be in several groups: A and B, B and C may be too close to call while A and C are not.
    """
    groups = [list(names)]
    for one, other in told_apart:
        split = []
        for group in groups:
            if one in group and other in group:
                split += [[each for each in group if each != out] for out in (one, other)]
            else:
                split.append(group)
        groups = [each for i, each in enumerate(split) if not _is_in_another(each, i, split)]
    return sorted(groups, key=lambda group: [names.index(each) for each in group])


def _is_in_another(group: list[str], place: int, groups: list[list[str]]) -> bool:
    others = [(i, set(other)) for i, other in enumerate(groups) if i != place]
    return any(set(group) < other or (set(group) == other and place > i) for i, other in others)
