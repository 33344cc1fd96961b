"""What a call that failed leaves behind: a generation that says so, and what the call may have cost."""

from __future__ import annotations

from typing import Final

from themis_core.errors import EngineError
from themis_core.records import Generation

__all__ = ["MAY_BE_BILLED", "failure_of"]

MAY_BE_BILLED: Final = frozenset({"invalid_reply", "reply_too_large", "engine_error", "application_error"})
"""Codes of attempts that may have cost something, though no answer came of them."""


def failure_of(error: EngineError, attempts: int) -> Generation:
    """What an error makes of a request."""
    if error.code == "content_filter":  # no failure: it counts as if the answer had been filtered
        return Generation("refused", refusal=error.message, finish_reason="content_filter", attempts=attempts)
    provider = {"unknown_outcome": True} if error.unknown_outcome else {}
    return Generation("failed", error_code=error.code, error=error.message, attempts=attempts, provider=provider)
