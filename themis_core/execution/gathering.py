"""Trials that were scored behind their answers: several are saved as one, though each ends at its own time.

A commit for each would cost a run with a slow metric more than all else that it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Gathering"]

T = TypeVar("T")
MOST = 16
LONGEST_S = 0.025
"""So many are saved together, or those that end within so many seconds."""


class _Group(Generic[T]):
    def __init__(self) -> None:
        self.members: list[T] = []
        self.is_full = asyncio.Event()
        self.is_over = asyncio.Event()
        self.error: BaseException | None = None


class Gathering(Generic[T]):
    """Gives what ends to `save`, in groups."""

    def __init__(self, save: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._save = save
        self._group: _Group[T] | None = None

    async def save(self, ended: T) -> None:
        """Return once it is saved, with what else ends meanwhile. Raises what saving the group raises."""
        group = self._group
        if group is None:
            group = self._group = _Group()
            group.members.append(ended)
            await self._lead(group)
            return
        group.members.append(ended)
        if len(group.members) >= MOST:
            self._close(group)
        await group.is_over.wait()
        if group.error is not None:
            raise group.error

    async def _lead(self, group: _Group[T]) -> None:
        """Wait for the others, and save them all: the first one does."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_S):
                    await group.is_full.wait()
            self._close(group)
            await self._save(group.members)
        except BaseException as error:
            group.error = error
            raise
        finally:
            self._close(group)
            group.is_over.set()

    def _close(self, group: _Group[T]) -> None:
        """Let nobody join it any more."""
        group.is_full.set()
        if self._group is group:
            self._group = None
