"""Hands batches in, once each: an intent is stored before, the ticket after, before anything else is done.

intent ─ somebody else's? ─ submit ─ ticket          killed between the two: the next run asks `find`
              └ abandoned      └ failed: abandoned, once it is sure that the provider has none
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence

from themis_core.components import Engine, Store
from themis_core.errors import EngineError
from themis_core.execution.batch_calls import BatchCalls
from themis_core.execution.batch_jobs import Job, Packing, age_of, new_nonce
from themis_core.execution.progress import now
from themis_core.execution.sharing import Sharing
from themis_core.execution.trouble import retry_rules, trouble_of
from themis_core.execution.writer import Writer
from themis_core.records import BatchEnded, BatchIntended, BatchRecord, BatchSubmitted, Request, Ticket
from themis_core.specs import ExecutionPolicySpec
from themis_costs import Budget, Stopped
from themis_pacing import Retrying
from themis_wording import counted

__all__ = ["Handing", "Taken", "Unsure"]

progress_log = logging.getLogger("themis.progress")
FIND_S = 1.0
"""Seconds before a batch is looked for once more; they double."""
CLOCKS_S = 3_600.0
"""Seconds by which the clock of the machine that intended a batch may differ."""
CLAIMED_TOGETHER = 100
"""Keys that are claimed between two other jobs of the store."""


class Taken(Exception):
    """Another run has asked for some of the requests meanwhile, or has their answers. Never leaves the room."""


class Unsure(Exception):
    """Nobody can tell yet whether a batch is at its provider. Never leaves the room."""


class Handing:
    """Submits the batches of one run, and finds those that were submitted without being noted."""

    def __init__(
        self,
        run_id: str,
        writer: Writer,
        sharing: Sharing,
        budget: Budget,
        policy: ExecutionPolicySpec,
        calls: BatchCalls,
        grace_s: float,
        *,
        patient: bool,
    ) -> None:
        self._run_id = run_id
        self._writer = writer
        self._sharing = sharing
        self._budget = budget
        self._calls = calls
        self._grace_s = grace_s
        self._patient = patient
        self._rules = retry_rules(policy)
        self._draw = random.Random().random
        self.given_up: set[str] = set()
        """Nonces of batches that stay open and have nothing more for this execution."""
        self.note = ""

    async def submit(self, packing: Packing, requests: Sequence[Request]) -> Job:
        """Return the batch that the provider has; without a ticket if that can't be told yet.

        Raises Taken; EngineError if the provider takes no such batch; Stopped if the run ends, or if nobody can tell
        whether the provider has it.
        """
        model, keys = packing.model, tuple(each.key for each in packing.wanted.values())
        name = new_nonce()
        record = BatchRecord(self._run_id, now(), name, model.engine.endpoint, model.spec.sent, keys)
        await self._writer.save([BatchIntended(self._run_id, record.at, name, record.endpoint, record.model_id, keys)])
        if await self._is_taken(record):
            await self.end(record, "abandoned")
            raise Taken
        try:
            ticket = await self._submitted(model.engine, record, requests)
        except Unsure:
            return Job(record, model, packing.wanted)
        except EngineError:
            await self.end(record, "abandoned")
            raise
        record = await self.note_ticket(record, ticket)
        progress_log.warning("batch %s of %s is at %s", ticket.id, counted(len(keys), "request"), record.endpoint)
        return Job(record, model, packing.wanted)

    async def _submitted(self, engine: Engine, record: BatchRecord, requests: Sequence[Request]) -> Ticket:
        retrying = Retrying(self._rules, time.monotonic(), self._draw)
        while True:
            try:
                return await self._calls.submit(engine, record.nonce, requests)
            except EngineError as error:
                if error.unknown_outcome and (found := await self.found(engine, record, just_now=True)) is not None:
                    return found
                wait = retrying.wait_after(trouble_of(error), time.monotonic())
                if wait is None:
                    raise
                self.note = f"submitting a batch to {record.endpoint} failed ({error.code}): tried again"
                try:
                    await self.sleep(max(wait, error.retry_after or 0.0))
                except Stopped:
                    await self.end(record, "abandoned")
                    raise
                finally:
                    self.note = ""

    async def found(self, engine: Engine, record: BatchRecord, *, just_now: bool = False) -> Ticket | None:
        """The ticket of a batch that may be at the provider; None once it is sure that it is not.

        A provider may list what it took some seconds later: it is asked until the grace is over, which begins with the
        submission if that was `just_now`. Else it begins with the first look, unless the intent is older by more than
        clocks differ: another machine may have noted it. Raises Stopped if it can't be told; Unsure if it can't be told
        yet and the run is not patient beyond the grace: some providers tell a batch's name only when it has ended.
        """
        begun = time.monotonic() - (0.0 if just_now else max(age_of(record) - CLOCKS_S, 0.0))
        wait = FIND_S
        while True:
            try:
                ticket = await self._calls.find(engine, record.nonce)
            except EngineError as error:
                if not error.retryable:
                    self._budget.stop(
                        f"nobody can tell whether {record.endpoint} has the batch {record.nonce} ({error}), and asking "
                        "again may pay twice: look for it there, then `themis batches forget`"
                    )
                    raise Stopped from error
                if not self._patient and time.monotonic() - begun >= self._grace_s:
                    raise Unsure from error
                self.note = f"looking for a batch at {record.endpoint}: {error.message}; tried again"
            else:
                left = self._grace_s - (time.monotonic() - begun)
                if ticket is not None or left <= 0:
                    self.note = ""
                    return ticket
                self.note = f"looking for a batch that may be at {record.endpoint}, for {left:.0f} s more"
                wait = min(wait, left + 0.01)
            await self.sleep(wait)
            wait = min(2 * wait, 30.0)

    async def note_ticket(self, record: BatchRecord, ticket: Ticket) -> BatchRecord:
        await self._writer.save([BatchSubmitted(record.run_id, now(), record.nonce, ticket)])
        return BatchRecord(
            record.run_id, record.at, record.nonce, record.endpoint, record.model_id, record.keys, ticket
        )

    async def end(self, record: BatchRecord, outcome: str) -> None:
        await self._writer.save([BatchEnded(record.run_id, now(), record.nonce, outcome)])

    async def _is_taken(self, record: BatchRecord) -> bool:
        """Whether an earlier batch has one of the requests, another run asks for one now, or an answer has come."""

        def look(store: Store) -> bool:
            wanted = set(record.keys)
            for each in store.open_batches():  # in the order of their intents, which all runs see alike
                if each.nonce == record.nonce:
                    break
                if each.nonce not in self.given_up and not wanted.isdisjoint(each.keys):
                    return True
            return bool(store.stored_generations(record.keys))

        if await self._writer.read(look):
            return True
        for start in range(0, len(record.keys), CLAIMED_TOGETHER):
            if not await self._sharing.claim_for_batch(record.keys[start : start + CLAIMED_TOGETHER]):
                await self._sharing.let_go(record.keys)
                return True
        return False

    async def sleep(self, seconds: float) -> None:
        """Sleep so long, but no longer than the run lasts. Raises Stopped when it ends."""
        waking = asyncio.Event()
        self._budget.when_stopped.append(waking.set)
        try:
            if self._budget.stopped is None:
                async with asyncio.timeout(seconds):
                    await waking.wait()
        except TimeoutError:
            pass
        finally:
            self._budget.when_stopped.remove(waking.set)
        if self._budget.stopped is not None:
            raise Stopped
