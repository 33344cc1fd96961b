"""Executing a plan: calls, retries, limits, scores, commits. It composes nothing and reports nothing."""

from themis_core.execution.endpoint import Budget, Endpoint, cost_of, estimate_tokens
from themis_core.execution.runner import Progress, Runner, now
from themis_core.execution.writer import Writer

__all__ = ["Budget", "Endpoint", "Progress", "Runner", "Writer", "cost_of", "estimate_tokens", "now"]
