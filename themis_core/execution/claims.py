"""Sees to it that no two trials of a run ask for one answer: the first to need it claims it, and others wait for that.

A trial claims before its look-up. Another one that needs the same answer then waits, whether the answer is committed
before, during or after its own look-up. That holds for baselines too.

Waits never form a ring. Claims are made in the order of the look-ups, and lanes work in that order, so a trial waits
only for those that were looked up before it. What is claimed later, because another trial did not need it after all,
is called and settled before its trial waits for anything. A trial that may have to ask for a baseline is scored in the
place of its worker: in the queue for scores, those that wait for that baseline could stand before it. Other runs on the
same store are the business of `sharing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from themis_core.execution.work import Work
from themis_core.execution.writer import Writer
from themis_core.records import Generation, Request

__all__ = ["Claims"]


class Claims:
    """By generation key, what a trial of this run is the first to need."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._pending: dict[str, asyncio.Future[Generation | None]] = {}
        """Done with None if the trial turned out not to need it."""

    def claim(self, requests: Iterable[Request]) -> list[str]:
        """Claim what nobody has claimed, and return its keys."""
        owned = []
        for request in requests:
            if request.key not in self._pending:
                self._pending[request.key] = asyncio.get_running_loop().create_future()
                owned.append(request.key)
        return owned

    def settle(self, key: str, generation: Generation | None) -> None:
        """Give the generation to whoever waits for it, and keep the claim."""
        future = self._pending.get(key)
        if future is not None and not future.done():
            future.set_result(generation)

    def let_go(self, keys: Iterable[str], generation: Generation | None) -> None:
        """End claims: who waits gets the generation, or with None sees for itself."""
        for key in keys:
            future = self._pending.pop(key, None)
            if future is not None and not future.done():
                future.set_result(generation)

    def release_baselines(self, work: Work) -> None:
        """End a trial's claims on baselines: what it needed is saved, and the rest is up to whoever needs it."""
        own = {request.key for request in work.trial.own}
        self.let_go([key for key in work.owned if key not in own], None)
        work.owned[:] = [key for key in work.owned if key in own]

    async def elsewhere(self, key: str, owned: list[str]) -> Generation | None:
        """The generation that another trial gets for the same request; None if that is now up to this one."""
        while True:
            while (future := self._pending.get(key)) is not None:
                if (generation := await asyncio.shield(future)) is not None:
                    return generation
            stored = (await self._writer.read(lambda store: store.generations([key]))).get(key)
            if stored is not None:
                return stored
            if key not in self._pending:
                self._pending[key] = asyncio.get_running_loop().create_future()
                owned.append(key)
                return None
