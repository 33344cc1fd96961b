"""Keeps two runs that are at work on one store from paying for one request twice.

A run says which request it asks for now, and no more: it holds nothing while it waits, so waits never form a ring.
What it says counts only while it is held by a living process. A run that is alone in its store says nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from themis_core.components import Store
from themis_core.errors import StorageError
from themis_core.execution.writer import Writer
from themis_core.records import Generation
from themis_costs import Stopped

__all__ = ["Postponed", "Sharing"]

LOOK_S = 0.5
"""Seconds between looks for other runs, and for an answer that another run asks for."""


class Postponed(Stopped):
    """Another run left the request in a batch: it is for a later pass over the trials, which waits for that."""


class Sharing:
    """What this run and the others at work on its store ask for. Call `watch` before the first request."""

    def __init__(self, writer: Writer, run_id: str, *, beside: bool = False) -> None:
        """`beside`: other processes may work on other parts of this very run."""
        self._writer = writer
        self._run_id = run_id
        self._beside = beside
        self._others = False
        self._asking: set[str] = set()
        self._claimed = False
        self._met = False
        """Whether another run was ever seen, which may have left a batch behind and be gone."""
        self._in_batches: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self.given_up: set[str] = set()
        """Nonces of open batches that are not waited for."""
        self.has_postponed = False

    async def begin(self) -> None:
        """Look for other runs; if there are any, let them notice this one before it asks for anything."""
        self._others = await self._look()
        if self._others:
            await asyncio.sleep(2 * LOOK_S)

    async def watch(self) -> None:
        """Go on looking, until cancelled; what is under way when another run comes is told to it."""
        with suppress(StorageError):  # which ends the run where it saves
            while True:
                await asyncio.sleep(LOOK_S)
                before, self._others = self._others, await self._look()
                if self._others and not before:
                    for key in list(self._asking):
                        await self._claim(key)

    async def turn(self, key: str) -> Generation | None:
        """Return None once it is up to this run to ask, which then calls `done`; or what another run got meanwhile.

        Raises Postponed if another run left the request in a batch.
        """
        waited = False
        while self._others or waited:  # who was waited for may have saved the answer and be gone
            answer, is_mine = await self._claim(key)
            if answer is not None:
                return answer
            if is_mine:
                break
            await asyncio.sleep(LOOK_S / 2)
            waited = True
        if self._met and key in await self._keys_in_batches():
            self.has_postponed = True
            await self.done(key, answered=False)
            raise Postponed
        self._asking.add(key)
        return None

    async def done(self, key: str, *, answered: bool) -> None:
        """Say that the call is over. Without an answer, another run may ask; an answer will be saved, and is found."""
        self._asking.discard(key)
        if self._claimed and not answered:
            await self._writer.read(lambda store: store.release(self._run_id, [key]))

    async def claim_for_batch(self, keys: Sequence[str]) -> bool:
        """Note that this run asks for these in a batch, until `let_go`; false if another one asks for some of them."""
        if not self._others:
            self._asking.update(keys)
            return True
        self._claimed = True
        if not await self._writer.read(lambda store: all(store.claim(self._run_id, key) for key in keys)):
            return False
        self._asking.update(keys)
        return True

    async def let_go(self, keys: Sequence[str]) -> None:
        """Say that this run asks for these no longer."""
        self._asking.difference_update(keys)
        if self._claimed:
            await self._writer.read(lambda store: store.release(self._run_id, keys))

    async def end(self) -> None:
        """Take back all that was said; beside others, what they said stays, and what is answered is found anyway."""
        keys = list(self._asking) if self._beside else None
        if self._claimed:
            await self._writer.read(lambda store: store.release(self._run_id, keys))

    async def _look(self) -> bool:
        others = await self._writer.read(lambda store: store.has_others_at_work(self._run_id))
        self._met |= others
        return others

    async def _keys_in_batches(self) -> frozenset[str]:
        """What is in open batches. As old as a look at most: a run that submits one is there for longer than that."""
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            found = await self._writer.read(lambda store: store.open_batches())
            self._in_batches = frozenset(key for each in found if each.nonce not in self.given_up for key in each.keys)
        return self._in_batches

    async def _claim(self, key: str) -> tuple[Generation | None, bool]:
        self._claimed = True

        def look(store: Store) -> tuple[Generation | None, bool]:
            is_mine = store.claim(self._run_id, key)
            return store.generations([key]).get(key), is_mine

        return await self._writer.read(look)
