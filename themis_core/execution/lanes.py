"""Where calls of extractors, metrics and judges are made, so that slow ones hold up no request.

    call ─┬─ inline ─ between the requests
          ├─ async ── in the event loop, under a deadline
          ├─ process  one of a bounded pool      ┐ as many of one component at the same time
          └─ thread ─ one of `scoring_threads`   ┘ as its `at_once` says

A component of which call after call does not come back is given up: else each of thousands would take its whole time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from themis_core.components import Component, Metric
from themis_core.execution.batches import Batches
from themis_core.execution.budget import Budget, Stopped
from themis_core.execution.deadline import outcome, within
from themis_core.execution.scoring import Call, Steps
from themis_core.plugins import is_async, lane_of, seconds_for
from themis_lanes import Crashed, Overdue, Processes, Raised, Threads, stuck, watched

__all__ = ["GivenUp", "Lanes", "is_quick"]

T = TypeVar("T")
ASYNC_PLACES = 32
FEWEST_PROCESSES, MOST_PROCESSES = 4, 8
"""Some wait more than they compute; and each holds what the components load."""
LEFT_BEHIND = 3
"""Calls of a component that may be left behind, each with a thread."""
IN_A_ROW = 10
"""Calls of a component that may be overdue in a row."""
TOLD_AFTER_S = 5.0
"""Seconds after which a call is named in the progress line."""
SWITCH_S = 0.0005
"""Seconds after which a thread that computes has to let others run, the event loop among them; Python's own 5 ms would
be seen in each request."""


class GivenUp(TimeoutError):
    """A component is not called any longer in this run."""


def is_quick(component: Component, method: str) -> bool:
    """Whether a method is called between the requests, without waiting for anything."""
    in_batches = isinstance(component, Metric) and component.batch_size > 1
    return component.runs_in == "inline" and not in_batches and not is_async(type(component), method)


class Lanes:
    """The lanes of one execution."""

    def __init__(self, budget: Budget) -> None:
        policy = budget.policy
        self._budget = budget
        self._threads = Threads(policy.scoring_threads)
        self._size = policy.scoring_processes or min(max(os.cpu_count() or 1, FEWEST_PROCESSES), MOST_PROCESSES)
        self._memory_mb = policy.process_memory_mb
        self._start_s = policy.start_timeout_s
        self._processes: Processes | None = None
        self._switch_s = sys.getswitchinterval()
        self._places: dict[int, asyncio.Semaphore] = {}
        self._batches: dict[int, Batches] = {}
        self._left_behind: dict[int, int] = {}
        self._in_a_row: dict[int, int] = {}
        self._under_way: set[asyncio.Task[Any]] = set()
        budget.when_stopped.append(self._stopped)

    async def do(self, steps: Steps[T]) -> T:
        """What comes of steps, each call made in its lane. Raises Stopped if the user ends the run meanwhile."""
        try:
            call = next(steps)
            while True:
                try:
                    # The common case waits for nothing.
                    made = call.inline() if is_quick(call.component, call.method) else await self._elsewhere(call)
                except Stopped:
                    raise
                except BaseException as error:  # noqa: BLE001 - the steps say what becomes of it
                    call = steps.throw(error)
                else:
                    call = steps.send(made)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

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
        sys.setswitchinterval(self._switch_s)
        self._threads.close()
        if self._processes is not None:
            self._processes.close()

    async def _elsewhere(self, call: Call) -> Any:
        if self._budget.interrupted:
            raise Stopped
        component = call.component
        if isinstance(component, Metric) and call.method == "score" and component.batch_size > 1:
            batches = self._batches.get(id(component))
            if batches is None:
                batches = self._batches[id(component)] = Batches(component.batch_size, self._placed)
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

    async def _placed(self, call: Call) -> Any:
        """Make a call as soon as its component has a place; count what does not come back."""
        component = call.component
        key = id(component)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = asyncio.Semaphore(component.at_once or self._usual_places(call))
        async with places:
            self._check_given_up(call)
            try:
                result = await self._lane(component, call.method)(call)
            except Overdue as error:
                self._left_behind[key] = self._left_behind.get(key, 0) + error.left_behind
                self._in_a_row[key] = self._in_a_row.get(key, 0) + 1
                raise
            self._in_a_row[key] = 0
            return result

    def _usual_places(self, call: Call) -> int:
        if is_async(type(call.component), call.method):
            return ASYNC_PLACES
        return self._size if lane_of(call.component) == "process" else 1

    def _check_given_up(self, call: Call) -> None:
        key = id(call.component)
        if self._left_behind.get(key, 0) >= LEFT_BEHIND:
            raise GivenUp(f"not called: {LEFT_BEHIND} of its calls did not come back and were left behind")
        if self._in_a_row.get(key, 0) >= IN_A_ROW:
            raise GivenUp(f"not called: {IN_A_ROW} of its calls in a row took longer than they may")

    def _lane(self, component: Component, method: str) -> Callable[[Call], Awaitable[Any]]:
        if is_async(type(component), method):
            return _in_the_loop
        return self._in_a_process if lane_of(component) == "process" else self._in_a_thread

    async def _in_a_thread(self, call: Call) -> Any:
        sys.setswitchinterval(min(SWITCH_S, self._switch_s))
        return await self._threads.call(_label(call), seconds_for(call.component), call.bare)

    async def _in_a_process(self, call: Call) -> Any:
        if self._processes is None:
            self._processes = Processes(self._size, memory_mb=self._memory_mb, start_s=self._start_s)
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
