"""Calls of components outside of a run's own stages: each blamed for what goes wrong in it, and bounded in time.

with calling("mine/rows", "rows"):      # PluginError if it raises, or takes longer than start_timeout_s
    row = next(rows)
in_its_time("mine/slow", metric, "unscorable", item)     # Overdue if it takes longer than seconds_per_call
"""

from __future__ import annotations

import logging
import os
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from importlib.util import find_spec
from inspect import iscoroutinefunction
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, Final

from themis_core.components import Component, Lane, Scoring
from themis_core.errors import PluginError, SpecError, StorageError
from themis_core.plugins.blaming import Errors, blaming
from themis_core.specs import ExecutionPolicySpec
from themis_lanes import Overdue, beside, in_time, timed, watching

if TYPE_CHECKING:
    from themis_lanes.apart import Apart

__all__ = [
    "calling",
    "each_in_its_time",
    "in_force",
    "in_its_time",
    "in_its_time_beside",
    "is_async",
    "is_inherited",
    "is_quick",
    "lane_of",
    "made",
    "policy_in_force",
    "seconds_for",
]

log = logging.getLogger("themis")
MOST_OVERDUE: Final = 3
"""Calls of one method, before and after the run, that may take too long."""
_USUAL: Final = ExecutionPolicySpec()
policy_in_force: ContextVar[ExecutionPolicySpec] = ContextVar("policy_in_force", default=_USUAL)
"""The deadlines of the project that is at work. It goes with the context, for components are called in many places that
know of no project."""


class _Held:
    """What is found out once, of the components that are at work."""

    def __init__(self) -> None:
        self.apart: Apart | None = None
        """The process for calls before and after the run, once there was such a call."""
        self.lanes: dict[int, tuple[Component, Lane]] = {}
        """By id of a component, which is held so that no other gets it."""
        self.overdue: Counter[tuple[int, str]] = Counter()
        """By id of a component and method, how many calls before and after the run took too long."""


_held: ContextVar[_Held | None] = ContextVar("_held", default=None)


@contextmanager
def in_force(policy: ExecutionPolicySpec) -> Iterator[None]:
    """Have calls of components within end at the deadlines of a policy."""
    held = _Held()
    tokens = policy_in_force.set(policy), _held.set(held)
    try:
        with watching():
            yield
    finally:
        policy_in_force.reset(tokens[0])
        _held.reset(tokens[1])
        if held.apart is not None:
            held.apart.close()


@lru_cache(maxsize=256)
def is_async(kind: type[Component], method: str) -> bool:
    """Whether a method of a kind of component is to be awaited."""
    return iscoroutinefunction(getattr(kind, method, None))


@lru_cache(maxsize=256)
def is_inherited(kind: type[Component], method: str) -> bool:
    """Whether a method of a metric or judge is what the base class has, which is quick and harms nobody."""
    bases = ("worst", "empty") if method == "empty" else (method,)
    return all(getattr(kind, each, None) is getattr(Scoring, each, None) for each in bases)


def is_quick(component: Component, method: str) -> bool:
    """Whether a method is called between the requests, without waiting for anything."""
    if is_inherited(type(component), method):
        return True
    return component.runs_in == "inline" and not is_async(type(component), method)


def made(component: Component, method: str, args: Sequence[Any]) -> Any:
    """What a call returns, made whole: a generator is at work only when it is asked, and then nobody watches it."""
    returned = getattr(component, method)(*args)
    return list(returned) if hasattr(type(returned), "__next__") else returned


def lane_of(component: Component) -> Lane:
    """Where calls of an extractor, metric or judge that is no `async` one are made."""
    if component.runs_in is not None:
        return component.runs_in
    held = _held.get()
    if held is None:
        return _usual_lane(component)
    if id(component) not in held.lanes:
        held.lanes[id(component)] = component, _usual_lane(component)
    return held.lanes[id(component)][1]


def _usual_lane(component: Component) -> Lane:
    module = type(component).__module__
    try:
        # A module that was made up, such as a notebook's, can't be found by another process.
        if os.name == "posix" and module != "__main__" and find_spec(module) is not None:
            pickle.dumps(component)
            return "process"
    except Exception as error:  # noqa: BLE001 - whatever its pickling raises
        log.debug("%s runs in threads: %s", module, error)
    return "thread"


def seconds_for(component: Component) -> float:
    """How long a call of an extractor, metric or judge may take."""
    own = component.seconds_per_call
    return policy_in_force.get().seconds_per_call if own is None else own


@contextmanager
def calling(who: str, during: str, *, but: Errors = (SpecError, StorageError, PluginError)) -> Iterator[None]:
    """`blaming`, for a call without which there is no run, and that must end: it has `start_timeout_s`."""
    try:
        with blaming(who, during, but=(*but, Overdue)), timed(f"{who}.{during}", policy_in_force.get().start_timeout_s):
            yield
    except Overdue as error:
        raise _too_slow(who, during, error) from None


def _too_slow(who: str, during: str, error: Overdue) -> PluginError:
    return PluginError(
        f"{who}: {during} took longer than {error.limit_s:g} s: raise execution_policy.start_timeout_s if it needs more"
    )


def in_its_time(name: str, component: Component, method: str, *args: Any) -> Any:
    """Return or raise what a method of an extractor, metric or judge does, called in this thread or in a process.

    Raises Overdue, and after a few of them at once.
    """
    if is_inherited(type(component), method):
        return getattr(component, method)(*args)
    with _giving_up(component, method):
        return _called(name, component, method, args, in_this_thread=True)


def each_in_its_time(name: str, component: Component, method: str, many: Sequence[Any]) -> list[Any]:
    """What a quick method says of each of many, in this thread, under the deadline of one call for all of them."""
    label, limit_s = f"{name}.{method}", seconds_for(component)
    each = getattr(component, method)
    return in_time(label, limit_s, lambda: [each(one) for one in many])


def in_its_time_beside(name: str, component: Component, method: str, *args: Any) -> Any:
    """The same in a thread of its own, which is left behind if the call does not let itself be ended."""
    with _giving_up(component, method):
        return _called(name, component, method, args, in_this_thread=False)


@contextmanager
def _giving_up(component: Component, method: str) -> Iterator[None]:
    """Call no more what was overdue a few times: it may be asked of thousands of items."""
    held = _held.get()
    key = (id(component), method)
    if held is not None and held.overdue[key] >= MOST_OVERDUE:
        raise Overdue(seconds_for(component))
    try:
        yield
    except Overdue:
        if held is not None:
            held.overdue[key] += 1
        raise


def _called(name: str, component: Component, method: str, args: Sequence[Any], *, in_this_thread: bool) -> Any:
    label, limit_s = f"{name}.{method}", seconds_for(component)
    if is_async(type(component), method):
        from asyncio import run  # slow to import, and not needed by commands that only read

        return beside(label, limit_s, lambda: run(getattr(component, method)(*args)))
    if lane_of(component) == "process":
        return _in_a_process(name, component, method, tuple(args))
    if in_this_thread and current_thread() is main_thread():
        return in_time(label, limit_s, made, component, method, args)
    return beside(label, limit_s, partial(made, component, method, args))


def _in_a_process(name: str, component: Component, method: str, args: tuple[Any, ...]) -> Any:
    held = _held.get()
    if held is None:  # a result is read
        with in_force(policy_in_force.get()):
            return _in_a_process(name, component, method, args)
    if held.apart is None:
        from themis_lanes.apart import Apart  # not needed by most runs

        policy = policy_in_force.get()
        held.apart = Apart(memory_mb=policy.process_memory_mb, start_s=policy.start_timeout_s)
    return held.apart.call(component, method, args, seconds_for(component), label=f"{name}.{method}")
