"""How many calls of a service are in flight, and when the next may start; both learn from what is refused."""

from themis_pacing.limits import AdaptiveLimit, Pace

__all__ = ["AdaptiveLimit", "Pace"]
