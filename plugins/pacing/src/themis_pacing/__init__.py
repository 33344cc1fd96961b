"""How many calls of a service are in flight, and when the next may start; both learn from what is refused. When a call
is given up, when it is tried again, and when a service that fails is left in peace. By one process, or by several
that share what they know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from themis_pacing.breaker import Breaker
from themis_pacing.deadline import attempt_ends
from themis_pacing.learning import LearnedRate
from themis_pacing.limits import AdaptiveLimit, Pace
from themis_pacing.retrying import RetryAllowance, Retrying, RetryRules
from themis_pacing.trouble import Trouble

if TYPE_CHECKING:
    from themis_pacing.member import STALE_S, Member, SharedLimit, SharedPace
    from themis_pacing.pool import FORGOTTEN_S, Need, Pool, Share

__all__ = [
    "FORGOTTEN_S",
    "STALE_S",
    "AdaptiveLimit",
    "Breaker",
    "LearnedRate",
    "Member",
    "Need",
    "Pace",
    "Pool",
    "RetryAllowance",
    "RetryRules",
    "Retrying",
    "Share",
    "SharedLimit",
    "SharedPace",
    "Trouble",
    "attempt_ends",
]


def __getattr__(name: str) -> Any:
    # What processes share is imported with its first use: most programs are one process.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from themis_pacing import member, pool

    return getattr(member if hasattr(member, name) else pool, name)
