"""How many calls of a service are in flight, and when the next may start; both learn from what is refused. When a call
is given up, when it is tried again, and when a service that fails is left in peace. By one process, or by several
that share what they know."""

from themis_pacing.breaker import Breaker
from themis_pacing.deadline import attempt_ends
from themis_pacing.learning import LearnedRate
from themis_pacing.limits import AdaptiveLimit, Pace
from themis_pacing.member import STALE_S, Member, SharedLimit, SharedPace
from themis_pacing.pool import FORGOTTEN_S, Need, Pool, Share
from themis_pacing.retrying import RetryAllowance, Retrying, RetryRules
from themis_pacing.trouble import Trouble

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
