"""Ends calls that don't end by themselves, in the thread in which they run.

    with watching():                                    # a run, say: one thread that looks at what all others do
        in_time("mine/slow.score", 2.0, metric.score, item)   # Overdue after 2 seconds

A call in the main thread is interrupted by a signal, which also ends what sleeps or waits there, and a pattern of `re`
that would search for years. One in another thread is interrupted between two steps of its Python code, so one that
waits in C goes on until that returns: who owns the thread is told, and can leave it behind. C code that neither
returns nor lets other threads run can be ended in a process of its own only.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
import traceback
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

from themis_lanes.errors import Overdue

__all__ = ["Timed", "going_on", "in_time", "stuck", "timed", "watched", "watching"]

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("themis")
LOOK_S = 0.05
"""Seconds between looks."""
AGAIN_S = 0.25
"""Seconds between interrupts of one call: a component may swallow the first ones."""
GRACE_S = 1.0
"""Seconds after the first interrupt after which a call is lost."""


class Interrupt(BaseException):
    """Raised inside an overdue call. No Exception: loops that try again on each of those would not end."""


class Timed:
    """One call as the watch sees it; a context manager around it."""

    __slots__ = ("_next", "copied", "interrupted", "label", "limit_s", "lost", "on_lost", "since", "thread", "told")

    def __init__(self, label: str, limit_s: float, on_lost: Callable[[], object] | None = None) -> None:
        self.label = label
        self.limit_s = limit_s
        self.on_lost = on_lost
        """Called in the watch's thread, once, when the call ignores its interrupts."""
        self.interrupted = False
        self.copied = False
        """Whether this is a copy of the process, made within the call."""
        self.lost = False
        self.told = False
        self.since = 0.0
        self.thread = 0
        self._next = 0.0

    def __enter__(self) -> Timed:
        self.thread = thread = threading.get_ident()
        self.since = time.monotonic()
        self._next = self.since + self.limit_s
        calls = _calls.get(thread)
        if calls is None:
            calls = _calls[thread] = []
        calls.append(self)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        calls = _calls.get(self.thread)
        if calls and calls[-1] is self and not self.interrupted:  # nearly always
            calls.pop()
            if not self.interrupted:  # the watch may have struck between the two
                return
        if self.copied:
            _end_copy(self.label, error)
        self.leave()
        if self.interrupted and not isinstance(error, KeyboardInterrupt):  # which may be the user's
            # Whatever it returned or raised since: it was not done in time.
            raise Overdue(self.limit_s) from None

    def leave(self) -> None:
        """Forget the call, and what began within it and did not end. To be called again where an interrupt comes out:
        it may have come while the call was left."""
        calls = _calls.get(self.thread)
        if calls and self in calls:
            del calls[calls.index(self) :]
        if self.interrupted and not _by_signal(self.thread):
            with _lock:  # the watch has done what it was about to do
                _raise_in(self.thread)  # in this one, so that none is on its way any longer

    def overdue(self, now: float) -> bool:
        """Whether it is to be interrupted now; called by the watch."""
        if now < self._next:
            return False
        self._next = now + AGAIN_S
        return True


_calls: dict[int, list[Timed]] = {}
"""By thread, what it is doing, the innermost call last."""
_lock = threading.Lock()
_users = 0
_end_of_watch = threading.Event()
"""Of the watch that is at work; each has one of its own."""
_before: dict[signal.Signals, Any] = {}
"""The handlers that were there before the watch."""
_CAN_SIGNAL = hasattr(signal, "pthread_kill")  # not on Windows
_HELD_UP_S = 0.5
"""Seconds of CPU after which a watch that was not let to look is stood in for by a timer of the system."""


@contextmanager
def timed(label: str, limit_s: float) -> Iterator[None]:
    """Bound what is done within a `with` block. Raises Overdue if it takes longer than `limit_s` seconds."""
    call = Timed(label, limit_s)
    try:
        with call:
            yield
    except Interrupt:
        call.leave()
        raise Overdue(limit_s) from None


def in_time(label: str, limit_s: float, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return or raise what a call does, or raise Overdue after `limit_s` seconds.

    `label` names the call to people, such as `mine/slow.score`.
    """
    timed_call = Timed(label, limit_s)
    try:
        with timed_call:
            return call(*args, **kwargs)
    except Interrupt:
        timed_call.leave()
        raise Overdue(limit_s) from None


@types.coroutine
def watched(label: str, limit_s: float, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a coroutine of which no step may hold up its event loop for longer than `limit_s` seconds.

    It may wait for as long as it likes. Raises Overdue.
    """
    value: Any = None
    error: BaseException | None = None
    while True:
        step = Timed(label, limit_s)
        try:
            with step:
                waits_for = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except Interrupt:
            step.leave()
            raise Overdue(limit_s) from None
        value = error = None
        try:
            value = yield waits_for
        except BaseException as raised:  # noqa: BLE001 - for the coroutine to see
            error = raised


@types.coroutine
def going_on(begun: Generator[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await a coroutine of which the first step was made by `send(None)`, and what that waits for."""
    error: BaseException | None = None
    value: Any = None
    try:
        while True:
            try:
                value, error = (yield waits_for), None
            except BaseException as raised:  # noqa: BLE001 - for the coroutine to see
                error = raised
            waits_for = begun.send(value) if error is None else begun.throw(error)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def stuck(after_s: float) -> list[tuple[str, float]]:
    """Label and seconds of each call that has been going on for longer than `after_s`, the longest first.

    Those that were left behind are not among them.
    """
    now = time.monotonic()
    calls = [(each.label, now - each.since) for calls in list(_calls.values()) for each in list(calls) if not each.lost]
    return sorted((each for each in calls if each[1] > after_s), key=lambda each: -each[1])


@contextmanager
def watching() -> Iterator[None]:
    """Have calls interrupted within; outside of it, no call is. Nests, in any threads."""
    global _users, _end_of_watch
    with _lock:
        _users += 1
        if _users == 1:
            _end_of_watch = threading.Event()
            threading.Thread(target=_look, args=(_end_of_watch,), name="themis-watch", daemon=True).start()
    try:
        if _CAN_SIGNAL and threading.current_thread() is threading.main_thread():
            with _signalling():
                yield
        else:
            yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _end_of_watch.set()


@contextmanager
def _signalling() -> Iterator[None]:
    """Have signals interrupt calls in the main thread, for the outermost of its watches."""
    global _before
    if _before:
        yield
        return
    timer = signal.getitimer(signal.ITIMER_VIRTUAL)
    # The first is nobody's by custom; the second is sent by the timer.
    _before = {each: signal.signal(each, _arrived) for each in (signal.SIGURG, signal.SIGVTALRM)}
    _stand_in()
    try:
        yield
    finally:
        before, _before = _before, {}
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _forget() -> None:
    """Begin anew in a copy of the process, which has none of the threads."""
    global _users, _lock, _before
    _users, _lock, _before = 0, threading.Lock(), {}
    for calls in _calls.values():
        for call in calls:
            call.copied = True
    _calls.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)


def _end_copy(label: str, error: BaseException | None) -> NoReturn:
    """End a copy of the process that came out of the call which made it: it would go on with all that is under way."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None and not isinstance(error, StopIteration):  # which is how a coroutine returns
        code = 1
        lines = traceback.format_exception_only(type(error), error)
        os.write(2, f"a process that {label} made by os.fork() has ended: {''.join(lines)}".encode(errors="replace"))
    os._exit(code)


def _stand_in() -> None:
    """Have the system look in so and so many seconds, if the watch can't: C code may let no other thread run."""
    signal.setitimer(signal.ITIMER_VIRTUAL, _HELD_UP_S, AGAIN_S)


def _look(end: threading.Event) -> None:
    while not end.wait(LOOK_S):
        now = time.monotonic()
        if _before:
            _stand_in()
        for call in [each for calls in list(_calls.values()) for each in list(calls)]:
            if call.overdue(now):
                _interrupt(call, now)


def _interrupt(call: Timed, now: float) -> None:
    lost = False
    with _lock:
        call.interrupted = True
        # Asked after that was set: a call that ends now either sees it, or is not in here any longer.
        if call not in _calls.get(call.thread, ()):
            return
        if now - call.since > call.limit_s + GRACE_S and call.on_lost is not None and not call.lost:
            call.lost = lost = True
        elif _by_signal(call.thread):
            signal.pthread_kill(call.thread, signal.SIGURG)
        else:
            _raise_in(call.thread)
    if lost and call.on_lost is not None:
        call.on_lost()
    elif call.on_lost is None and not call.told and now - call.since > call.limit_s + GRACE_S:
        call.told = True
        log.error("%s ignores its interrupts, and holds up all else until it returns", call.label)


def _by_signal(thread: int) -> bool:
    return thread == threading.main_thread().ident and bool(_before)


def _raise_in(thread: int) -> None:
    """Have an interrupt raised in a thread at its next step, and catch one of this thread's own.

    CPython notes for all threads at once that there is one, and strikes the note out where it raises one. While the
    note stands, CPython 3.11 enters no function under a tracer, such as a debugger: for ever, if that thread sleeps.
    So this thread gets one as well. The other still comes, since threads look whenever they take turns. No function
    may be entered before that.
    """
    there, here = ctypes.c_ulong(thread), ctypes.c_ulong(threading.get_ident())
    raise_in, interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.py_object(Interrupt)
    try:
        raise_in(there, interrupt)
        raise_in(here, interrupt)
        while True:
            pass
    except Interrupt:
        pass


def _arrived(number: int, frame: FrameType | None) -> None:
    calls = _calls.get(threading.get_ident(), ())
    if number == signal.SIGVTALRM:
        now = time.monotonic()
        for call in calls:
            call.interrupted |= call.overdue(now)
    if any(each.interrupted for each in calls):
        raise Interrupt
