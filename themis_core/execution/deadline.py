"""Awaits components no longer than a deadline, with the core's one rule for what comes from outside of them."""

from __future__ import annotations

from themis_core.plugins import from_outside
from themis_lanes import Deadlines

__all__ = ["outcome", "within"]

_deadlines = Deadlines(from_outside)
outcome = _deadlines.outcome
within = _deadlines.within
