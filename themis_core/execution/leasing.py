"""The trials of the parts of a run that a worker leases, one part after the other, until none is left.

    lane ─ has had all of the parts that are held ─ more? ─ take ─ none is free ─ others have some ─ wait, take again
      │                                                                     └ none is left ─ the lane ends
      └ trials ─ … ─ ended (saved) ─ the last one of its part, in all lanes ─ the part is finished in the store

Every lane goes through every part that the worker holds. A lane that is faster than the others runs ahead of them, by
so many parts as may be held and not more: what one worker holds, no other one can do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from themis_core.execution.sources import BATCH, Source, Trials
from themis_core.execution.writer import Writer
from themis_core.planning import Plan, Trial
from themis_core.records import Part
from themis_costs import Budget

__all__ = ["Leasing", "how_many_parts"]

POLL_S: Final = 1.0
"""Seconds between two looks for parts that others give back or leave behind."""
SIZE: Final = 64
"""Trials of a part, about: so few that a worker that is slow or lost holds up little, so many that a lease costs
nothing beside them."""
FOR_EACH: Final = 4
"""Parts for each worker, of a run so small that not all of them would get some of it: a trial may take hours."""
MOST: Final = 16_384
"""Parts of any run: each is a row that those who take some look at."""
_HELD: Final = 2
"""Parts that are held at the least, so that one is there when the one before ends."""


def how_many_parts(trials: int, workers: int) -> int:
    """Into how many parts a run of so many trials is divided for so many workers."""
    return max(1, min(MOST, max(trials // SIZE, min(trials, FOR_EACH * workers))))


@dataclass(slots=True)
class _Held:
    """A part that is leased and not finished."""

    lanes: int
    """Those that have not had all its trials yet."""
    out: int = 0
    """Trials that were given out and have not ended."""
    is_left: bool = False
    """Whether a trial of it was left: so it is not finished, and given back in the end."""


class Leasing(Source):
    """Parts of a plan, leased from the store by who holds its lock as `holder`. `index` the plan for `of` before."""

    def __init__(self, plan: Plan, writer: Writer, budget: Budget, holder: str, of: int) -> None:
        self._plan = plan
        self._writer = writer
        self._budget = budget
        self._holder = holder
        self._of = of
        self._size = max(1, plan.count() // of)
        """Trials of a part, about."""
        self._lanes = 0
        self._width = 0
        """Trials that all lanes work on at once."""
        self._taken: list[int] = []
        self._held: dict[int, _Held] = {}
        self._done: list[int] = []
        """Finished, and to be noted in the store."""
        self._taking = asyncio.Lock()
        self._changed = asyncio.Event()
        budget.when_stopped.append(self._changed.set)

    def trials(self, endpoint: str | None, labels: Collection[str]) -> Trials:
        self._lanes += 1
        return self._trials(endpoint, labels)

    def waiting(self, width: int) -> int:
        self._width += width
        return width  # no more than that: what waits here, another worker could do

    def ended(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._end(trial, is_left=False)

    def left(self, trial: Trial) -> None:
        self._end(trial, is_left=True)

    def _end(self, trial: Trial, *, is_left: bool) -> None:
        number = Part.holding(trial.item.id, None if self._plan.by_item else trial.sample_index, self._of).number
        held = self._held[number]
        held.out -= 1
        held.is_left |= is_left
        self._finish_if_done(number, held)

    async def note(self) -> None:
        """Note in the store which parts are finished: all that was saved of them is."""
        if self._done:
            done, self._done = self._done, []
            try:
                await self._writer.read(lambda store: store.finish_parts(self._plan.run_id, self._holder, done))
            except BaseException:
                self._done += done
                raise

    async def give_back(self) -> None:
        """Let others have at once what is not finished. Nothing is taken any more."""
        await self.note()
        self._held.clear()
        await self._writer.read(lambda store: store.give_back_parts(self._plan.run_id, self._holder))

    async def _trials(self, endpoint: str | None, labels: Collection[str]) -> Trials:
        place = 0
        while place < len(self._taken) or await self._more(place):
            number, place = self._taken[place], place + 1
            held = self._held[number]
            trials = self._plan.trials(endpoint, labels=labels, part=Part(number, self._of))
            while batch := list(islice(trials, BATCH)):
                held.out += len(batch)
                yield batch
            held.lanes -= 1
            self._finish_if_done(number, held)

    def _finish_if_done(self, number: int, held: _Held) -> None:
        if not held.lanes and not held.out:
            del self._held[number]
            if not held.is_left:
                self._done.append(number)
            self._changed.set()

    async def _more(self, place: int) -> bool:
        """Take parts until there is one for a lane that has had so many; false if none will come."""
        async with self._taking:
            while place >= len(self._taken):
                if self._budget.stopped is not None:
                    return False
                self._changed.clear()
                if (room := self._most_held() - len(self._held)) > 0:
                    await self.note()
                    if await self._take(min(room, self._wanted())):
                        break
                    if await self._is_over():
                        return False
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), POLL_S)
        return True

    async def _take(self, most: int) -> bool:
        taken = await self._writer.read(lambda store: store.take_parts(self._plan.run_id, self._holder, most))
        self._taken += taken
        self._held.update((number, _Held(self._lanes)) for number in taken)
        return bool(taken)

    async def _is_over(self) -> bool:
        """Whether nobody else has parts, which could become free."""
        parts = await self._writer.read(lambda store: store.parts(self._plan.run_id))
        if parts.of - parts.finished <= len(self._held) + len(self._done):
            return True
        if not self._held and not self._done:  # of a lease whose reply was lost nobody knows
            await self._writer.read(lambda store: store.give_back_parts(self._plan.run_id, self._holder))
        return False

    def _wanted(self) -> int:
        """Parts that keep all places at work, and no more: the others are for others."""
        return max(1, self._width // self._size)

    def _most_held(self) -> int:
        return _HELD * self._wanted() + _HELD
