"""What an engine's error means for the calls after it: is one tried again, and is the endpoint called at all?"""

from __future__ import annotations

from typing import Final

from themis_core.errors import EngineError
from themis_core.specs import ExecutionPolicySpec
from themis_pacing import Breaker, RetryRules, Trouble

__all__ = ["breaker_of", "retry_rules", "trouble_of"]

OUTAGES: Final = frozenset({"timeout", "connection", "unreachable", "proxy", "overloaded", "server_error"})
"""Codes that count towards opening the breaker."""
LASTING: Final = frozenset({"unauthorized", "forbidden", "not_found", "certificate", "tls", "redirect", "proxy"})
"""Codes that no further call of the same model would escape: they open the breaker for it at once, unless the engine
says that the call may be tried again."""
OF_ONE_REQUEST: Final = frozenset({"content_filter", "context_length", "rate_limited", "too_large", "unsupported"})
"""Codes that say nothing of the next request, or, as a rate, have a rule of their own."""
OF_ONE_ONCE_ANSWERED: Final = frozenset({"bad_request", "application_error"})
"""Codes that say nothing of the next request either, once the model has answered one."""
NOT_THERE: Final = frozenset({"unreachable", "proxy", "connection"})
"""Codes by which a wrong address or a server that does not run shows itself."""
SAYS_THAT_IT_PASSES: Final = frozenset({"rate_limited", "overloaded"})
"""Codes whose bodies are always the same, and mean nothing by it."""


def trouble_of(error: EngineError) -> Trouble:
    """The trouble that an attempt's error is."""
    code = error.code
    return Trouble(
        kind=code,
        told=str(error),
        passes=error.retryable,
        refused=code == "rate_limited",
        retry_after=error.retry_after,
        body=None if error.status is None or code in SAYS_THAT_IT_PASSES else error.message,
        outage=code in OUTAGES,
        lasting=code in LASTING and not error.retryable,
        absent=code in NOT_THERE,
        of_one_call=code in OF_ONE_REQUEST,
        of_one_call_once_answered=code in OF_ONE_ONCE_ANSWERED,
    )


def retry_rules(policy: ExecutionPolicySpec) -> RetryRules:
    """The policy's rules for trying again."""
    return RetryRules(
        max_retries=policy.max_retries,
        window_s=policy.retry_window_s,
        base_s=policy.backoff_base_s,
        max_s=policy.backoff_max_s,
    )


def breaker_of(name: str, policy: ExecutionPolicySpec) -> Breaker:
    """The breaker of an endpoint, which is closed."""
    return Breaker(
        name,
        failures=policy.breaker_failures,
        cooldown_s=policy.breaker_cooldown_s,
        max_probes=policy.breaker_max_probes,
    )
