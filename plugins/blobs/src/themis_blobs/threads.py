"""Some things at once, each bounded in time, for a caller that waits for all of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["at_once"]

T = TypeVar("T")
R = TypeVar("R")


def at_once(do: Callable[[T], R], each_of: Iterable[T], *, threads: int, limit_s: float) -> Iterator[tuple[T, R]]:
    """Call it with each of the things, some at a time, and yield each with its result as that arrives.

    An Exception of a call is raised here, and no further one begins; what else it raises is a RuntimeError. Raises
    TimeoutError if no call ends within `limit_s` seconds: threads that hang are left behind, and hold up no process
    that ends.
    """
    things = list(each_of)
    left = iter(things)
    lock = threading.Lock()
    done: queue.SimpleQueue[tuple[T, R | None, BaseException | None]] = queue.SimpleQueue()
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with lock:
                thing = next(left, done)
            if thing is done:
                return
            try:
                done.put((thing, do(thing), None))  # type: ignore[arg-type]
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                done.put((thing, None, error))  # type: ignore[arg-type]

    for number in range(min(threads, len(things))):
        threading.Thread(target=work, name=f"themis-blobs-{number}", daemon=True).start()
    try:
        for _ in things:
            try:
                thing, result, error = done.get(timeout=limit_s)
            except queue.Empty:
                raise TimeoutError(f"no reply within {limit_s:g} s") from None
            if isinstance(error, Exception):
                raise error
            if error is not None:  # a panic of a client in Rust, or an exit: not of this process
                raise RuntimeError(f"{type(error).__name__}: {error}") from error
            yield thing, result  # type: ignore[misc]
    finally:
        over.set()
