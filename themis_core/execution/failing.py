"""What a call that failed leaves behind: a generation that says so, and what the call may have cost."""

from __future__ import annotations

from typing import Any, Final

from themis_core.errors import EngineError
from themis_core.execution.steps import as_steps, left_out_told
from themis_core.records import WARNING, Generation

__all__ = ["MAY_BE_BILLED", "failure_of"]

MAY_BE_BILLED: Final = frozenset({"invalid_reply", "reply_too_large", "engine_error", "application_error"})
"""Codes of attempts that may have cost something, though no answer came of them."""


def failure_of(error: EngineError, attempts: int) -> Generation:
    """What an error makes of a request; the steps that were done before it are kept."""
    steps, left_out = as_steps(error.steps, "EngineError.steps")
    told = left_out_told(steps, left_out)
    provider: dict[str, Any] = {} if told is None else {WARNING: told}
    kept: dict[str, Any] = {"attempts": attempts, "steps": steps, "steps_left_out": left_out}
    if error.code == "content_filter":  # no failure: it counts as if the answer had been filtered
        return Generation("refused", refusal=error.message, finish_reason="content_filter", provider=provider, **kept)
    if error.unknown_outcome:
        provider["unknown_outcome"] = True
    return Generation("failed", error_code=error.code, error=error.message, provider=provider, **kept)
