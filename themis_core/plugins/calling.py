"""Calls of components outside of a run's own stages: each blamed for what goes wrong in it, and bounded in time.

with calling("mine/rows", "rows"):      # PluginError if it raises, or takes longer than start_timeout_s
    row = next(rows)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

from themis_core.components import Component
from themis_core.errors import PluginError, SpecError, StorageError
from themis_core.plugins.blaming import Errors, blaming
from themis_core.specs import ExecutionPolicySpec
from themis_lanes import Overdue, beside, in_time, timed, watching

__all__ = ["calling", "in_force", "in_its_time", "in_its_time_beside", "policy_in_force", "seconds_for"]

T = TypeVar("T")
_USUAL: Final = ExecutionPolicySpec()
policy_in_force: ContextVar[ExecutionPolicySpec] = ContextVar("policy_in_force", default=_USUAL)
"""The deadlines of the project that is at work. It goes with the context, for components are called in many places that
know of no project."""


@contextmanager
def in_force(policy: ExecutionPolicySpec) -> Iterator[None]:
    """Have calls of components within end at the deadlines of a policy."""
    token = policy_in_force.set(policy)
    try:
        with watching():
            yield
    finally:
        policy_in_force.reset(token)


def seconds_for(component: Component) -> float:
    """How long a call of an extractor, metric or judge may take."""
    own = component.seconds_per_call
    return policy_in_force.get().seconds_per_call if own is None else own


@contextmanager
def calling(who: str, during: str, *, but: Errors = (SpecError, StorageError, PluginError)) -> Iterator[None]:
    """`blaming`, for a call without which there is no run, and that must end: it has `start_timeout_s`."""
    limit = policy_in_force.get().start_timeout_s
    try:
        with blaming(who, during, but=(*but, Overdue)), timed(f"{who}.{during}", limit):
            yield
    except Overdue as error:
        raise PluginError(
            f"{who}: {during} took longer than {error.limit_s:g} s: raise execution_policy.start_timeout_s if it needs "
            "more"
        ) from None


def in_its_time(name: str, component: Component, method: str, call: Callable[[], T]) -> T:
    """Return or raise what a call of an extractor, metric or judge does in this thread. Raises Overdue."""
    return in_time(f"{name}.{method}", seconds_for(component), call)


def in_its_time_beside(name: str, component: Component, method: str, call: Callable[[], T]) -> T:
    """The same in a thread of its own, which is left behind if the call does not let itself be ended."""
    return beside(f"{name}.{method}", seconds_for(component), call)
