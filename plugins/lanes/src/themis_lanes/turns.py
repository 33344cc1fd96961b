"""How often threads take turns while some of them compute."""

from __future__ import annotations

import sys
import threading

__all__ = ["Switching", "switching"]

SWITCH_S = 0.0005
"""Seconds after which a thread that computes has to let others run, the event loop among them; Python's own 5 ms would
be seen in each request."""


class Switching:
    """How often threads take turns, for as long as any run has calls in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = 0.0

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(SWITCH_S, self._before))

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                sys.setswitchinterval(self._before)


switching = Switching()
"""Of this process: there is one interval for all its threads."""
