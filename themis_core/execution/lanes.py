"""Where calls of extractors, metrics and judges are made, so that slow ones hold up no request.

    call ─┬─ inline ─ between the requests
          ├─ async ── in the event loop, under a deadline
          ├─ process  one of a bounded pool      ┐ as many of one component at the same time
          └─ thread ─ one of `scoring_threads`   ┘ as its `at_once` says

A component of which call after call does not come back is given up: else each of thousands would take its whole time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from themis_core.components import Component, Metric, ToScore
from themis_core.execution.deadline import outcome, within
from themis_core.execution.scoring import Call, Steps, throwable
from themis_core.plugins import from_outside, is_async, is_quick, lane_of, made, seconds_for
from themis_core.specs import ExecutionPolicySpec
from themis_costs import Budget, Stopped
from themis_lanes import (
    Batches,
    Crashed,
    GivenUp,
    Overdue,
    Processes,
    Raised,
    Record,
    Threads,
    in_time,
    stuck,
    switching,
    watched,
)

__all__ = ["GivenUp", "Lanes"]

T = TypeVar("T")
log = logging.getLogger("themis")
ASYNC_PLACES = 32
FEWEST_PROCESSES, MOST_PROCESSES = 4, 8
"""Some wait more than they compute; and each holds what the components load."""
TOLD_AFTER_S = 5.0
"""Seconds after which a call is named in the progress line."""


class _Bounds(NamedTuple):
    """What holds for every call of one method of one component."""

    label: str
    limit_s: float
    inline: bool


class Lanes:
    """The lanes of one execution."""

    def __init__(self, policy: ExecutionPolicySpec, budget: Budget) -> None:
        self._budget = budget
        self._threads = Threads(policy.scoring_threads)
        cores = os.cpu_count() or 1
        self._size = policy.scoring_processes or min(max(cores, FEWEST_PROCESSES), MOST_PROCESSES)
        self._at_first = policy.scoring_processes or cores
        self._memory_mb = policy.process_memory_mb
        self._start_s = policy.start_timeout_s
        self._processes: Processes | None = None
        self._switches = False
        self._places: dict[tuple[Any, str], asyncio.Semaphore] = {}
        self._batches: dict[int, Batches[Call]] = {}
        self._records: dict[int, Record] = {}
        self._bounds: dict[tuple[int, str], _Bounds] = {}
        """By id of a component, which its run holds, and method."""
        self._under_way: set[asyncio.Task[Any]] = set()
        self._streams = sys.stdout, sys.stderr
        budget.when_stopped.append(self._stopped)

    async def do(self, steps: Steps[T]) -> T:
        """What comes of steps, each call made in its lane. Raises Stopped if the user ends the run meanwhile."""
        try:
            call = next(steps)
            while True:
                try:
                    bounds = self._bounds.get((id(call.component), call.method)) or self._decide(call)
                    if bounds.inline:  # the common case waits for nothing
                        returned = in_time(bounds.label, bounds.limit_s, made, call.component, call.method, call.args)
                    else:
                        returned = await self._elsewhere(call)
                except Stopped:
                    raise
                except BaseException as error:  # noqa: BLE001 - the steps say what becomes of it
                    call = steps.throw(throwable(error))
                else:
                    call = steps.send(returned)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _decide(self, call: Call) -> _Bounds:
        """Where a method is called, and for how long at most: found out at its first call, the same at all others."""
        component, method = call.component, call.method
        decided = _Bounds(f"{call.name}.{method}", seconds_for(component), is_quick(component, method))
        self._bounds[id(component), method] = decided
        return decided

    @property
    def note(self) -> str:
        """What takes long just now, for people."""
        processes = self._processes.running() if self._processes else []
        found = [*stuck(TOLD_AFTER_S), *(each for each in processes if each[1] > TOLD_AFTER_S)]
        if not found:
            return ""
        label, seconds = max(found, key=lambda each: each[1])
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"{label} takes {seconds:.0f} s{more}"

    def _stopped(self) -> None:
        if self._budget.interrupted:  # the answers are saved, and can be scored by the next run
            for task in self._under_way:
                task.cancel()

    def close(self) -> None:
        """End the processes, and let go of the threads. Waits for nothing."""
        if self._switches:
            switching.leave()
        for batches in self._batches.values():
            batches.close()
        self._threads.close()
        if any(record.left_in_all for record in self._records.values()):
            sys.stdout, sys.stderr = self._streams  # a thread that was left behind may hold others in their place
        if self._processes is not None:
            self._processes.close()

    async def _elsewhere(self, call: Call) -> Any:
        if self._budget.interrupted:
            raise Stopped
        component = call.component
        if isinstance(component, Metric) and call.method == "score" and component.batch_size > 1:
            batches = self._batches.get(id(component))
            if batches is None:
                batches = Batches(component.batch_size, self._many_placed, "score_batch", from_outside)
                self._batches[id(component)] = batches
            make = batches.add
        else:
            make = self._placed
        task = asyncio.ensure_future(outcome(lambda: make(call)))
        self._under_way.add(task)
        try:
            result, error = await task
        except asyncio.CancelledError:
            if self._budget.interrupted:
                raise Stopped from None
            raise
        finally:
            self._under_way.discard(task)
            task.cancel()
        if error is not None:
            raise error
        return result

    async def _many_placed(self, calls: Sequence[Call]) -> Any:
        """Make calls of `score` as one of `score_batch`."""
        answers = [ToScore(*each.args) for each in calls]
        return await self._placed(calls[0]._replace(method="score_batch", args=(answers,)))

    async def _placed(self, call: Call) -> Any:
        """Make a call as soon as its component has a place; count what does not come back."""
        component = call.component
        record = self._records.setdefault(id(component), Record())
        async with self._place(call):
            if reason := record.why_given_up():
                raise GivenUp(f"not called: {reason}")
            try:
                result = await self._lane(component, call.method)(call)
            except (Overdue, Crashed) as error:
                record.add(error, in_parts=call.method == "score_batch" and len(call.args[0]) > 1)
                if reason := record.why_given_up():
                    log.error("%s is not called any more in this run: %s", call.name, reason)
                raise
            record.came_back()
            return result

    def _place(self, call: Call) -> asyncio.Semaphore:
        """The places of a component. Of one in threads that says nothing of them, its whole class has one."""
        component = call.component
        lane = "async" if is_async(type(component), call.method) else lane_of(component)
        of_class = lane == "thread" and component.at_once is None
        key = (type(component) if of_class else id(component), lane)
        if key not in self._places:
            usual = {"async": ASYNC_PLACES, "process": self._size}.get(lane, 1)
            self._places[key] = asyncio.Semaphore(component.at_once or usual)
        return self._places[key]

    def _lane(self, component: Component, method: str) -> Callable[[Call], Awaitable[Any]]:
        if is_async(type(component), method):
            return _in_the_loop
        return self._in_a_process if lane_of(component) == "process" else self._in_a_thread

    async def _in_a_thread(self, call: Call) -> Any:
        if not self._switches:
            self._switches = True
            switching.enter()
        return await self._threads.call(_label(call), seconds_for(call.component), call.bare)

    async def _in_a_process(self, call: Call) -> Any:
        if self._processes is None:
            self._processes = Processes(
                self._size, at_first=self._at_first, memory_mb=self._memory_mb, start_s=self._start_s
            )
        limit = seconds_for(call.component)
        try:
            return await self._processes.call(call.component, call.method, call.args, limit, label=_label(call))
        except Raised as error:
            if error.name == "TimeoutError":
                raise TimeoutError(error.text) from error
            raise
        except Crashed as error:
            if "out of memory" not in str(error):
                raise
            raise Crashed(f"{error}; raise execution_policy.process_memory_mb if it needs more") from error


async def _in_the_loop(call: Call) -> Any:
    limit = seconds_for(call.component)
    return await within(limit, lambda: watched(_label(call), limit, call.bare()))


def _label(call: Call) -> str:
    return f"{call.name}.{call.method}"
