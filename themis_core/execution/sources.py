"""Where the trials of an execution come from: all at once from its plan, or as it goes on (`leasing`)."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Sequence
from itertools import islice
from typing import TypeAlias

from themis_core.planning import Plan, Trial

__all__ = ["BATCH", "Source", "Trials", "WholePlan"]

BATCH = 256
"""Trials per look-up, at the most."""
AT_ONCE = 32
"""Trials that are made before the event loop looks at what has arrived: many at once would hold up replies."""
Trials: TypeAlias = AsyncIterator[list[Trial]]
"""In batches for one look-up each."""


class Source(ABC):
    """Gives trials to lanes, and is told of each that ended."""

    @abstractmethod
    def trials(self, endpoint: str | None, labels: Collection[str]) -> Trials:
        """The trials of one lane, of the models with these labels at one endpoint, or of items that carry outputs.

        All lanes ask for theirs before any of them takes the first.
        """

    @abstractmethod
    def waiting(self, width: int) -> int:
        """How many trials of a lane may wait for a place, where so many are worked on at once."""

    @abstractmethod
    def ended(self, trials: Sequence[Trial]) -> None:
        """These are over: stored before, or saved now, their outcome failed or not."""

    @abstractmethod
    def left(self, trial: Trial) -> None:
        """This one is left to a later execution: the run ends, or another one has its request in a batch."""


class WholePlan(Source):
    """All trials of a plan, one after the other."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def trials(self, endpoint: str | None, labels: Collection[str]) -> Trials:
        trials = self._plan.trials(endpoint, labels=labels)
        batch: list[Trial] = []
        size = AT_ONCE  # the first calls wait for few prompts, and later look-ups are for many trials
        while made := list(islice(trials, AT_ONCE)):
            batch += made
            if len(batch) >= size:
                yield batch
                batch, size = [], min(2 * size, BATCH)
            else:
                await asyncio.sleep(0)
        if batch:
            yield batch

    def waiting(self, width: int) -> int:
        return 2 * BATCH

    def ended(self, trials: Sequence[Trial]) -> None:
        pass

    def left(self, trial: Trial) -> None:
        pass
