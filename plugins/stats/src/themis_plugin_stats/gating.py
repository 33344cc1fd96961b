"""Whether what was compared is enough of both sides for a gate to be judged by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from themis_core import counted

if TYPE_CHECKING:
    from themis_plugin_stats.verdicts import Pair

__all__ = ["MOST_UNPAIRED", "UNPAIRED", "unjudged"]

MOST_UNPAIRED: Final = 0.05
"""A share of which more may not be missing by chance."""
UNPAIRED: Final = "Welch's t"
"""The method for sides that have no items in common."""


def unjudged(each: Pair, most: float | None) -> list[str]:
    """Why a gate can't be judged by a pair: more than `most` of a side was not compared. None is the default, 0.05,
    and nothing that one side alone has."""
    told = []
    limit = MOST_UNPAIRED if most is None else most
    for name, ledger in ((each.a, each.ledger_a), (each.b, each.ledger_b)):
        failed = ledger["failed"] / ledger["trials"] if ledger["trials"] else 0.0
        if failed > limit:
            told.append(f"{ledger['failed']} of {counted(ledger['trials'], 'trial')} of {name} failed, {_than(limit)}")
        if each.method != UNPAIRED and ledger["unpaired"] > limit:
            told.append(f"{100 * ledger['unpaired']:.3g} % of the scores of {name} have no pair, {_than(limit)}")
    if most is None and each.unmatched:
        told.append(f"one side alone has {', '.join(each.unmatched)}")
    return told


def _than(limit: float) -> str:
    return f"which is more than max_unpaired, {limit:g}"
