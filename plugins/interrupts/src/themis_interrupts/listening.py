"""The signals that ask a process to end, told apart from what other people's code raises.

Whoever listens gets `Interrupted`, a KeyboardInterrupt of its own kind: code that raises KeyboardInterrupt has failed,
and nobody has pressed Ctrl-C. Signals concern the whole process, so what is kept here does as well. It ends
nothing: what happens after a signal is up to who listens.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["SIGNALS", "Interrupted", "from_outside", "heard", "in_good_order", "leave_at_once", "listen", "listening"]

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)


class Interrupted(KeyboardInterrupt):
    """Somebody wants the process to end: Ctrl-C, or another signal that is listened to."""


_told: list[Callable[[int], None]] = []
_stops: list[Callable[[], object]] = []
_listeners = 0
_before: Any = None


def listen(tell: Callable[[int], None]) -> None:
    """Have the signals raise `Interrupted` for the rest of the process, each of them told first."""
    _told.append(tell)
    _handle(_arrived)


def leave_at_once() -> None:
    """Have the signals end the process without a word: nothing is begun yet, or all is done."""
    _handle(lambda number, frame: os._exit(128 + number))


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    # What was ignored stays ignored: SIGHUP under `nohup`, SIGINT in what a script starts in the background.
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def listening() -> Iterator[None]:
    """Have Ctrl-C raise `Interrupted` within; as before where SIGINT is ignored, and outside of the main thread."""
    global _listeners, _before
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield
        return
    if not _listeners:
        _before = signal.signal(signal.SIGINT, _arrived)
    _listeners += 1
    try:
        yield
    finally:
        _listeners -= 1
        if not _listeners:
            signal.signal(signal.SIGINT, signal.SIG_DFL if _before is None else _before)


@contextmanager
def in_good_order(stop: Callable[[], object]) -> Iterator[None]:
    """Within, the first signal calls `stop` and raises nothing; the next one raises."""
    _stops.append(stop)
    try:
        yield
    finally:
        if stop in _stops:
            _stops.remove(stop)


def heard() -> bool:
    """Whether a Ctrl-C would raise `Interrupted`, or be ignored: then no other KeyboardInterrupt is the user's."""
    return signal.getsignal(signal.SIGINT) in (_arrived, signal.SIG_IGN)


def from_outside(error: BaseException) -> bool:
    """Whether what came out of other people's code is not its own: the user's Ctrl-C, or the end of who awaited it.

    A KeyboardInterrupt that no signal raised is the code's own, and so is a CancelledError that nobody asked for
    (a task of its own was cancelled, say). Passed on, it would end a worker without a word.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(map(from_outside, error.exceptions))
    if isinstance(error, KeyboardInterrupt):
        return isinstance(error, Interrupted) or not heard()
    if isinstance(error, Exception | SystemExit | GeneratorExit):
        return False
    from asyncio import CancelledError, current_task  # slow to import, and not needed by commands that only read

    if not isinstance(error, CancelledError):
        return False
    try:
        task = current_task()
    except RuntimeError:  # no event loop, so nothing to be cancelled
        return False
    return task is not None and task.cancelling() > 0


def _arrived(number: int, frame: FrameType | None) -> None:
    # No handler of an event loop's: that never runs while a component blocks the loop, and then nothing could end it.
    for tell in _told:
        tell(number)
    stops = _stops[:]
    _stops.clear()
    for stop in stops:
        stop()
    if not stops:
        raise Interrupted(signal.Signals(number).name)
