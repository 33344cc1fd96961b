"""One worker process for callers that have no event loop of their own, or that are at work inside of one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from themis_lanes.processes import Processes

__all__ = ["Apart"]


class Apart:
    """A pool of one process, with an event loop in a thread of its own. For one caller at a time."""

    def __init__(self, *, memory_mb: int | None, start_s: float = 30.0) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool = Processes(1, memory_mb=memory_mb, start_s=start_s)
        self._thread = threading.Thread(target=self._loop.run_forever, name="themis-apart", daemon=True)
        self._thread.start()

    def call(self, target: object, method: str, args: tuple[Any, ...], limit_s: float, *, label: str = "") -> Any:
        """Return or raise what `Processes.call` does."""
        called = self._pool.call(target, method, args, limit_s, label=label)
        return asyncio.run_coroutine_threadsafe(called, self._loop).result()

    def close(self) -> None:
        """End the process and the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._pool.close()
        await asyncio.sleep(0)  # what it ended is told
