"""What came of batches: answers are stored in groups, failures go into another round or are final for now."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from themis_core.components import BatchState
from themis_core.errors import EngineError
from themis_core.execution.batch_calls import BatchCalls
from themis_core.execution.batch_jobs import BatchPrices, Job, Wanted, age_of, short
from themis_core.execution.failing import MAY_BE_BILLED, failure_of
from themis_core.execution.progress import Progress, now
from themis_core.execution.watching import RequestWatch
from themis_core.execution.writer import Unsavable, Writer
from themis_core.records import Event, Generation, GenerationRecorded, Request, RunCost
from themis_core.specs import BatchesSpec, digest
from themis_costs import Budget
from themis_plain import Parked
from themis_wording import counted

__all__ = ["BatchResults"]

log = logging.getLogger("themis")
GROUP = 500
"""Answers that are stored in one commit."""
BATCH = "batch"
"""In a generation's `provider`: the id of the batch that it came by."""


class BatchResults:
    """Stores what batches answer, and knows which requests have failed for good in this execution."""

    def __init__(
        self,
        run_id: str,
        writer: Writer,
        budget: Budget,
        progress: Progress,
        calls: BatchCalls,
        file: Parked[Request],
        policy: BatchesSpec,
        prices: BatchPrices,
        watch: RequestWatch | None = None,
    ) -> None:
        self._watch = watch
        self._run_id = run_id
        self._writer = writer
        self._budget = budget
        self._progress = progress
        self._calls = calls
        self._file = file
        self._policy = policy
        self._prices = prices
        self._tries: Counter[str] = Counter()
        self._to_ask: set[str] = set()
        """Keys of requests that are to be asked by themselves."""
        self._answered: set[str] = set()
        """What of keys names the requests whose answers came in this execution, until their trials are worked on."""
        self.failed: dict[str, Generation] = {}
        """By key, what failed for good."""

    def is_settled(self, key: str) -> bool:
        """Whether no further batch is to have this request."""
        return key in self.failed or key in self._to_ask

    def outcome(self, key: str) -> Generation | None:
        """How a request failed that no batch answered; None if it is to be asked by itself."""
        if key in self._to_ask:
            return None
        if (failed := self.failed.get(key)) is not None:
            return failed
        return failure_of(EngineError("batch_unanswered", "no batch had this request"), 1)

    def is_new(self, key: str) -> bool:
        """Whether the answer came in this execution; asked once, by the trial that has it."""
        name = short(key)
        if name not in self._answered:
            return False
        self._answered.discard(name)
        return True

    async def store(self, job: Job, state: BatchState) -> str:
        """Store all that a batch has; what a call of this before has stored is passed over.

        Returns what is wrong if the provider keeps some back: what it does not give now is no reason to ask, and to
        pay, again. Raises EngineError if the replies can't be read to their end.
        """
        assert job.record.ticket is not None
        number = job.record.ticket.id
        seen: set[str] = set()
        known = job.keys
        strangers = 0
        group: list[GenerationRecorded] = []
        try:
            async for name, result in self._calls.replies(job.model.engine, state):
                wanted = job.wanted.get(name)
                if wanted is None or name in seen or wanted.reserved < 0:
                    strangers += wanted is None and name not in known
                    seen.add(name)
                    continue
                seen.add(name)
                group += self._taken(job, wanted, result, number)
                if len(group) >= GROUP:
                    await self._save(group)
                    group = []
        finally:
            await self._save(group)
        if strangers:
            log.warning(
                "batch %s has %s to requests that it never had: left out",
                number,
                counted(strangers, "answer"),
            )
        given = len(seen & known)
        if state.done > given or (state.status == "ended" and not given and not state.failed):
            said = counted(state.done, "request") if state.done else "the requests"
            return f"its provider says that it has answered {said}, and gives {counted(given, 'answer')}"
        self._go_on(job, [each for name, each in job.wanted.items() if name not in seen], state)
        return ""

    def forgive(self, job: Job) -> None:
        """Take a batch that was turned down as a whole for none of the rounds of its requests."""
        for each in job.wanted.values():
            self._tries[each.key] -= 1
            self.failed.pop(each.key, None)
            self._to_ask.discard(each.key)

    def _taken(
        self, job: Job, wanted: Wanted, result: Generation | EngineError, number: str
    ) -> Iterable[GenerationRecorded]:
        """What is to be stored of one reply; what it cost takes the place of what was reserved."""
        request, price = self._file.at(wanted.place), self._prices.of(wanted.model)
        if isinstance(result, Generation) and result.failed:  # else it would be submitted again for ever
            result = EngineError(result.error_code or "engine_error", result.error or "it has no answer")
        if isinstance(result, EngineError):
            billed = result.unknown_outcome or result.code in MAY_BE_BILLED
            cost = self._budget.cost_of_call(request, price, result.usage, billed=billed)
            self._settle(job, wanted, cost)
            self._tell(job, wanted, result)
            self._fail(wanted, result, tells_of="")
            return self._spent(request, cost, result)
        said = (result.text, result.reasoning or "", *result.alternatives)
        cost = self._budget.cost_of_call(request, price, result.usage, said=said)
        self._settle(job, wanted, cost)
        self._progress.generated += 1
        self._answered.add(short(wanted.key))
        kept = replace(result, latency_s=None, provider={**result.provider, BATCH: number})
        kept = cost.put_into(kept)
        self._tell(job, wanted, kept)
        return [GenerationRecorded(request.key, self._run_id, now(), request, kept)]

    def _tell(self, job: Job, wanted: Wanted, result: Generation | EngineError) -> None:
        if self._watch is not None:
            attempt = self._tries[wanted.key] + 1
            request = self._file.at(wanted.place)
            self._watch.of_batch(
                job.record, age_of(job.record), job.model.engine, request, attempt, wanted.trial, result
            )

    def _spent(self, request: Request, cost: RunCost, error: EngineError) -> Iterable[GenerationRecorded]:
        """What a failed request cost, under a key of its own: a later answer replaces the failure itself."""
        if not cost:
            return []
        at = now()
        key = digest([request.key, self._run_id, at])
        return [GenerationRecorded(key, self._run_id, at, request, cost.put_into(failure_of(error, 1)))]

    def _settle(self, job: Job, wanted: Wanted, cost: RunCost) -> None:
        self._budget.settle(wanted.reserved, cost)
        job.wanted[short(wanted.key)] = wanted._replace(reserved=-1.0)
        self._progress.cost = self._budget.before + self._budget.cost

    async def _save(self, group: list[GenerationRecorded]) -> None:
        """Store answers as one; one that no store can hold fails its request alone."""
        events: list[Event] = [*group]
        if not events:
            return
        try:
            await self._writer.save(events)
        except Unsavable as error:
            if len(group) == 1:
                self.failed[group[0].key] = failure_of(EngineError("engine_error", str(error)), 1)
                return
            for each in group:
                await self._save([each])

    # --- what was not answered ----------------------------------------------------------------------------------

    def _go_on(self, job: Job, unanswered: list[Wanted], state: BatchState) -> None:
        """Decide what becomes of the requests that a batch has no reply to."""
        assert job.record.ticket is not None
        for each in unanswered:
            if each.reserved >= 0:
                self._settle(job, each, RunCost())
        if state.error is not None and state.error.code == "quota_exhausted":
            self._budget.stop(f"{job.record.endpoint}: {state.error.message}", exhausted=True)
            return
        if not unanswered:
            return
        told = f"batch {job.record.ticket.id} {_ENDS.get(state.status, 'ended')} without an answer to it"
        error = state.error or EngineError("batch_unanswered", told, retryable=state.status != "cancelled")
        for each in unanswered:
            self._tell(job, each, error)
            self._fail(each, error, tells_of=told)
        log.warning(
            "batch %s %s: %s without an answer%s", job.record.ticket.id, _ENDS.get(state.status, "ended"),
            counted(len(unanswered), "request"), f" ({state.error})" if state.error else "",
        )  # fmt: skip

    def fail(self, keys: Iterable[str], error: EngineError) -> None:
        """Note that requests could not be submitted: that was tried again already, as the rules say."""
        self.failed.update((key, failure_of(error, 1)) for key in keys)

    def _fail(self, wanted: Wanted, error: EngineError, tells_of: str) -> None:
        self._tries[wanted.key] += 1
        tries = self._tries[wanted.key]
        if error.retryable and tries < self._policy.rounds:
            return  # the next scan finds it
        if error.retryable and self._policy.leftover == "ask":
            self._to_ask.add(wanted.key)
        else:
            self.failed[wanted.key] = failure_of(error, tries)

    def give_back(self, wanted: Mapping[str, Wanted]) -> None:
        """Set what was reserved for requests free: they were not submitted."""
        for each in wanted.values():
            if each.reserved >= 0:
                self._budget.settle(each.reserved, RunCost())


_ENDS = {"expired": "expired", "cancelled": "was cancelled", "failed": "failed"}
