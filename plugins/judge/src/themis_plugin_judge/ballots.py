"""From ballots to one score. A ballot is what one judging model gave in one repeat: a value, or a reason.

Pure: it reads no reply and knows no prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median
from typing import Literal

from themis_core import Score

__all__ = ["Ballot", "Combine", "combined"]

Combine = Literal["mean", "median", "majority", "unanimity"]
Ballot = tuple[float | None, str | None]
"""Value and, if there is none, the reason."""


def combined(ballots: Sequence[Ballot], combine: Combine) -> Score:
    """One score of all ballots.

    Mean and median need every ballot to be readable, otherwise the score has the reason of the first that is not.
    A majority is a value that more than half of all ballots have, unreadable ones counted as having none. Reasons:
    `no_majority`, `not_unanimous`.
    """
    values = [value for value, _ in ballots if value is not None]
    reasons = [reason for value, reason in ballots if value is None]
    if combine == "majority" and values:
        value, votes = Counter(values).most_common(1)[0]
        if 2 * votes > len(ballots):
            return Score(value)
    if reasons:
        return Score(reason=reasons[0] or "no_verdict")
    if not values:
        return Score(reason="no_verdict")
    if combine == "majority":
        return Score(reason="no_majority")
    if combine == "unanimity":
        return Score(values[0]) if len(set(values)) == 1 else Score(reason="not_unanimous")
    return Score(fmean(values) if combine == "mean" else median(values))
