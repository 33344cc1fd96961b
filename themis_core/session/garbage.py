"""How often Python looks for circles of garbage while a plan or a run works: what those make is freed without that."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["collecting_less"]

_EVERY = 20_000
"""New containers after which Python looks at the newest of them. At its own 700 that takes a sixth of a replay's time,
for almost nothing that it finds: trials hold no circles."""
_lock = Lock()
_within = 0
_before: tuple[int, int, int] = (0, 0, 0)
_froze = False


@contextmanager
def collecting_less() -> Iterator[None]:
    """Leave what exists by now out of collections, and collect less often. Of several at a time, the last one to end
    restores what was; a process that has collections switched off or rarer still, or has left objects out of them
    itself, keeps that.
    """
    global _within, _before, _froze
    with _lock:
        _within += 1
        if _within == 1:
            _before = gc.get_threshold()
            if 0 < _before[0] < _EVERY:
                gc.set_threshold(_EVERY, *_before[1:])
            _froze = gc.get_freeze_count() == 0
            if _froze:
                gc.freeze()
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                if _froze:
                    gc.unfreeze()
                gc.set_threshold(*_before)
