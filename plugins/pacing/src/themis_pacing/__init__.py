"""How many calls of a service are in flight, and when the next may start; both learn from what is refused. And when a
call is given up."""

from themis_pacing.deadline import attempt_ends
from themis_pacing.limits import AdaptiveLimit, Pace

__all__ = ["AdaptiveLimit", "Pace", "attempt_ends"]
