"""What to do when a reply does not come: look by another connection whether the server is at work on it.

A network that drops everything gives no error, nor does a server that stands still. It repeats nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg

__all__ = ["Watch"]

_LOOK_S: Final = 0.5
_END: Final = object()
_ASK: Final = "SELECT state, wait_event_type FROM pg_stat_activity WHERE pid = %s"
logger = logging.getLogger(__name__)


class Watch:
    """Watches one connection, in a thread of its own, from `start` to `end`."""

    def __init__(
        self, raw: psycopg.Connection[Any], ask: Callable[[], psycopg.Connection[Any]], quiet_s: float, give_up_s: float
    ) -> None:
        """`ask` makes another connection. A reply that takes `quiet_s` is looked into; if that can't be, it is given
        up `give_up_s` later."""
        self._raw = raw
        self._ask = ask
        self._quiet_s = quiet_s
        self._give_up_s = give_up_s
        self._since: float | None = None
        self._ended = threading.Event()
        self._backend = 0

    def start(self, backend: int) -> None:
        """`backend` is the process of the server that serves the connection."""
        self._backend = backend
        threading.Thread(target=self._look, name="themis-postgres-watch", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The connection waits for the server meanwhile."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def each(self, rows: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.waiting():
                row = next(rows, _END)
            if row is _END:
                return
            yield row

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_S) and not self._raw.closed:
            since = self._since
            if since is None or time.monotonic() - since < self._quiet_s:
                continue
            lost = self._is_lost(since)
            if self._since == since and lost:
                logger.warning("no reply for %.0f s: the connection is taken for lost", time.monotonic() - since)
                self._cut()
                return
            self._ended.wait(self._quiet_s)

    def _is_lost(self, since: float) -> bool:
        try:
            with self._ask() as other:
                found = other.execute(_ASK, (self._backend,)).fetchone()
                lost = found is None or found[0] != "active" or found[1] == "Client"
                if lost and found is not None and self._since == since:
                    # Its transaction would keep others from writing until the server notices.
                    other.execute("SELECT pg_terminate_backend(%s)", (self._backend,))
                return lost
        except psycopg.Error:
            silent_s = time.monotonic() - since
            if silent_s < self._quiet_s + self._give_up_s:
                logger.warning("no reply for %.0f s, and no new connection: waiting for the store", silent_s)
            return silent_s >= self._quiet_s + self._give_up_s

    def _cut(self) -> None:
        with (
            suppress(psycopg.Error, OSError),  # it may have been closed meanwhile
            socket.socket(fileno=os.dup(self._raw.fileno())) as connected,
        ):
            connected.shutdown(socket.SHUT_RDWR)
