"""When the attempt that is under way is given up, for what carries it and can't be cancelled. Who calls sets it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

__all__ = ["attempt_ends"]

attempt_ends: Final[ContextVar[float | None]] = ContextVar("attempt_ends", default=None)
"""By `time.monotonic`; None if nobody says. Whoever sets it keeps the deadline as well."""
