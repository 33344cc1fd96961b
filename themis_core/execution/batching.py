"""Asks models by batches: their answers are stored before their trials are worked on, which then find them.

    scan ─ what has no answer? ─┬ it is in an open batch: waited for          ┌ answered: stored, in groups
     ↑                          └ it is not: into a new one, submitted (`batch_handing`)
     └───── collect ─ wait ─────┘                                             └ failed or not: the next round

A request that is in an open batch of any run of the store is asked in no other way, whatever the policy says now: it
may be paid for. How a batch is handed in once, whatever kills the run, is told in `batch_handing`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import NoReturn

from themis_core.components import Store
from themis_core.errors import EngineError
from themis_core.execution.batch_calls import BatchCalls
from themis_core.execution.batch_handing import Handing, Taken, Unsure
from themis_core.execution.batch_jobs import BatchPrices, Job, Packing, Wanted, short, told_together
from themis_core.execution.batch_results import BatchResults
from themis_core.execution.progress import Progress
from themis_core.execution.sharing import Sharing
from themis_core.execution.watching import RequestWatch, TrialName
from themis_core.execution.writer import Writer
from themis_core.planning import Plan, Trial, media_items, with_media
from themis_core.plugins import ComposedModel
from themis_core.records import BatchRecord, Generation, ItemRecorded, Request
from themis_core.specs import BatchesSpec
from themis_costs import Budget, Stopped
from themis_media import MediaChanged
from themis_plain import Parked
from themis_wording import counted

__all__ = ["Batching"]

log = logging.getLogger("themis")
LOOK_UP = 500
"""Trials per look-up."""
AFTER_A_REFUSAL_S = 10.0
FEW = 2
"""Batches that are told of one by one."""
FIRST_LOOK_S = 2.0
"""Seconds before the first look at a batch; each one after it comes half as long again later."""


class Batching:
    """The batches of one execution. With `detach` it waits for none: `waiting` says that some were left."""

    def __init__(
        self,
        plan: Plan,
        writer: Writer,
        sharing: Sharing,
        budget: Budget,
        progress: Progress,
        watch: RequestWatch | None,
        *,
        detach: bool,
    ) -> None:
        policy = plan.composition.project.execution_policy
        self._plan = plan
        self._writer = writer
        self._sharing = sharing
        self._budget = budget
        self._policy = policy.batches or BatchesSpec(models=[])
        self._detach = detach
        self._calls = BatchCalls(policy.attempt_timeout_s)
        self._handing = Handing(
            plan.run_id, writer, sharing, budget, policy, self._calls, self._policy.grace_s, patient=not detach
        )
        sharing.given_up = self._handing.given_up
        self._file = Parked[Request]()
        self._prices = BatchPrices()
        self._results = BatchResults(
            plan.run_id, writer, budget, progress, self._calls, self._file, self._policy, self._prices,
            watch,
        )  # fmt: skip
        self._kept: set[str] = set()
        """Digests of the media that the store was given."""
        self._jobs: dict[str, Job] = {}
        """Open batches of which this execution wants something, by nonce."""
        self._listed: dict[tuple[str, str], ComposedModel] = {}
        """By endpoint and the name that the server is sent, a model whose engine takes batches."""
        self._owed: dict[str, dict[str, float]] = {}
        """By endpoint and request, what was set aside before its batch was looked at."""
        self._told: set[str] = set()
        """Endpoints of which it was said what else is open there."""
        self._chosen: frozenset[str] = frozenset()
        """The models that the policy names."""
        self.labels: frozenset[str] = frozenset()
        """The models whose trials wait for batches."""
        self._own: frozenset[str] | None = None
        """The requests of the plan's part, once it has to be known which batches of the run are of this part."""
        self.waiting = False

    async def begin(self) -> None:
        """Look which batches are open: what is in them is waited for, also of models that are now asked otherwise."""
        models = {
            model.spec.model_id: model
            for each in self._plan.slices
            for model in each.composed.models
            if model.engine.capabilities.batches
        }
        self._listed = {(each.engine.endpoint, each.spec.sent): each for each in models.values()}
        self._chosen = frozenset(filter(self._policy.covers, models))
        found = await self._open_ones() if models else []
        self.labels = self._chosen | {
            label
            for label, each in models.items()
            if any(self._reaching(record, each.engine.endpoint) is not None and record.model_id == each.spec.sent
                   for record in found)
        }  # fmt: skip
        await self._tell_of_others([record for record in found if not self._is_reached(record)])
        if found and self._budget.policy.max_cost is not None:
            await self._owe({short(key) for record in found for key in record.keys})

    async def _open_ones(self) -> Sequence[BatchRecord]:
        """The open batches, without those that other parts of this run have asked for: they collect them."""
        found = await self._writer.read(_open_ones)
        if self._plan.part is None or all(each.run_id != self._plan.run_id for each in found):
            return found
        if self._own is None:
            every = (trial for endpoint in self._plan.endpoints() for trial in self._plan.trials(endpoint))
            self._own = frozenset(short(trial.requests[0].key) for trial in every)
        own = self._own
        return [
            each for each in found if each.run_id != self._plan.run_id or any(short(key) in own for key in each.keys)
        ]

    def _reaching(self, record: BatchRecord, endpoint: str) -> ComposedModel | None:
        """The model at an endpoint that reaches a batch: of its name, and if none is where it was submitted, one that
        was given another address since. The keys of requests tell whether that is the same service."""
        if (exact := self._listed.get((record.endpoint, record.model_id))) is not None:
            return exact if record.endpoint == endpoint else None
        return self._listed.get((endpoint, record.model_id))

    def _is_reached(self, record: BatchRecord) -> bool:
        return any(self._reaching(record, endpoint) is not None for endpoint in self._plan.endpoints())

    async def _tell_of_others(self, records: Sequence[BatchRecord]) -> None:
        """Say which batches are paid for and hold nothing that this spec asks for: it may have been edited since."""
        runs = {record.run_id for record in records} - {self._plan.run_id}
        held = await self._writer.read(lambda store: {each for each in runs if store.is_held(each)}) if runs else runs
        left = [record for record in records if record.run_id in runs - held]
        if left:
            several = "1 batch is" if len(left) == 1 else f"{len(left)} batches are"
            log.warning(
                "%s open whose answers this spec does not ask for, with %s in all; `themis batches` lists them, and "
                "the spec that asked for them collects them", several,
                counted(sum(len(record.keys) for record in left), "request"),
            )  # fmt: skip

    async def _owe(self, keys: Collection[str]) -> None:
        """Set aside what open batches can cost before anything else is: they are paid for."""
        for endpoint in self._plan.endpoints():
            owed = self._owed.setdefault(endpoint, {})
            trials = self._plan.trials(endpoint, labels=self._plan.labels(endpoint) & self.labels)
            while chunk := list(islice(trials, LOOK_UP)):
                for request, model, _ in await self._missing(chunk, set()):
                    name = short(request.key)
                    if name in keys and name not in owed:
                        owed[name] = self._budget.owe(request, self._prices.of(model))

    def outcome(self, model: ComposedModel, key: str) -> Generation | None:
        """What became of a request of a model that is asked by batches, if it is not to be asked by itself."""
        if model.spec.model_id not in self._chosen:
            return self._results.failed.get(key)
        return self._results.outcome(key)

    def is_new(self, key: str) -> bool:
        """Whether a batch of this execution brought the stored answer to a request; asked once."""
        return self._results.is_new(key)

    @property
    def note(self) -> str:
        """Where the batches stand, for people."""
        jobs = list(self._jobs.values())
        told = [job.told for job in jobs] if len(jobs) <= FEW else [told_together(jobs)]
        return "; ".join(filter(None, [self._handing.note, *told]))

    @property
    def left(self) -> str:
        """That batches go on without the run, for people; empty if none do."""
        jobs = list(self._jobs.values())
        if not jobs:
            return ""
        requests = counted(sum(len(job.record.keys) for job in jobs), "request")
        names = ", ".join(sorted({job.record.endpoint for job in jobs}))
        go_on = "1 batch goes" if len(jobs) == 1 else f"{len(jobs)} batches go"
        return f"{go_on} on at {names} with {requests}"

    async def answer(self, endpoint: str, labels: Collection[str]) -> bool:
        """Have the requests of these models answered, as far as batches do that; false if they are not waited for.

        Raises Stopped if the run ends.
        """
        refused = 0
        while True:
            jobs, held_back = await self._scan(endpoint, labels)
            if not jobs:
                if not held_back:
                    return True
                if not self._budget.may_call():
                    self._budget.start_call()  # which says why the run ends
                await self._handing.sleep(1.0)
            elif not await self._wait(jobs):
                self.waiting = True
                return False
            elif turned_down := [job for job in jobs if job.state is not None and job.state.status == "failed"]:
                refused += 1
                if len(turned_down) < len(jobs):  # such as for more requests than may wait at the provider at once
                    for job in turned_down:
                        if job.state is not None and job.state.error is not None and job.state.error.retryable:
                            self._results.forgive(job)
                await self._handing.sleep(min(AFTER_A_REFUSAL_S * 2 ** min(refused, 10), self._policy.poll_s))

    # --- what is still to be answered ---------------------------------------------------------------------------

    async def _scan(self, endpoint: str, labels: Collection[str]) -> tuple[list[Job], bool]:
        """Find the requests without an answer in open batches, and submit batches of the others.

        Returns the batches that are now waited for, and whether requests were left for a later scan.
        """
        jobs = await self._open(endpoint)
        in_batch = {key: job for job in jobs for key in job.keys}
        packings: dict[tuple[int, str], Packing] = {}
        seen: set[str] = set()
        held_back = False
        trials = self._plan.trials(endpoint, labels=labels)
        while chunk := list(islice(trials, LOOK_UP)):
            for request, model, trial in await self._missing(chunk, seen):
                if self._budget.stopped is not None:
                    raise Stopped
                job = in_batch.get(short(request.key))
                if job is not None:
                    self._want(job, request, model, trial)
                elif model.spec.model_id in self._chosen and not held_back:
                    held_back = not await self._pack(packings, request, model, trial, jobs)
        for reserved in self._owed.pop(endpoint, {}).values():
            self._budget.settle(reserved)  # another run has stored the answer meanwhile
        for packing in packings.values():
            held_back |= not await self._submit(packing, jobs)
        unwanted = [job.record for job in jobs if not job.wanted and not await self._end_if_stored(job.record)]
        if endpoint not in self._told:
            self._told.add(endpoint)
            await self._tell_of_others(unwanted)
        return [job for job in jobs if job.wanted], held_back

    async def _end_if_stored(self, record: BatchRecord) -> bool:
        """End a batch whose answers are all stored: whoever stored the last of them was killed before it said so."""
        if record.ticket is None:
            return False
        stored = await self._writer.read(lambda store: store.stored_generations(record.keys))
        if len(stored) < len(record.keys):
            return False
        await self._handing.end(record, "ended")
        return True

    async def _open(self, endpoint: str) -> list[Job]:
        """The open batches at an endpoint that can be waited for."""
        jobs = []
        for record in await self._open_ones():
            model = self._reaching(record, endpoint)
            if model is None or record.nonce in self._handing.given_up:
                continue
            known = await self._with_ticket(record, model)
            if known is not None:
                jobs.append(Job(known, model))
        return jobs

    async def _with_ticket(self, record: BatchRecord, model: ComposedModel) -> BatchRecord | None:
        """The batch, with its ticket if whoever intended it was killed before that was noted; None if there is none."""
        if record.ticket is not None or record.endpoint != model.engine.endpoint:
            return record
        mine = record.run_id == self._plan.run_id
        if not mine and await self._writer.read(lambda store: store.is_held(record.run_id)):
            return record  # it is being submitted
        try:
            ticket = await self._handing.found(model.engine, record)
        except Unsure:
            return record
        if ticket is None:
            await self._handing.end(record, "abandoned")
            return None
        log.warning("batch %s was submitted before the run was killed: it is collected", ticket.id)
        return await self._handing.note_ticket(record, ticket)

    async def _missing(self, chunk: list[Trial], seen: set[str]) -> Iterator[tuple[Request, ComposedModel, TrialName]]:
        asked: dict[str, tuple[Request, ComposedModel, TrialName]] = {}
        for trial in chunk:
            if trial.model is not None:
                named = TrialName(trial.slice_id, trial.trial_id)
                asked.setdefault(trial.requests[0].key, (trial.requests[0], trial.model, named))
        keys = [key for key in asked if short(key) not in seen and not self._results.is_settled(key)]
        seen.update(map(short, keys))
        stored = await self._writer.read(lambda store: store.stored_generations(keys)) if keys else set()
        return (asked[key] for key in keys if key not in stored)

    def _want(self, job: Job, request: Request, model: ComposedModel, trial: TrialName) -> None:
        if short(request.key) not in job.wanted:
            if not job.wanted:
                job.model = model  # others of its name may read answers in another way
            self._jobs[job.record.nonce] = job
            reserved = self._owed.get(model.engine.endpoint, {}).pop(short(request.key), None)
            if reserved is None:
                reserved = self._budget.owe(request, self._prices.of(model))
            place = self._file.add(request)
            job.wanted[short(request.key)] = Wanted(place, request.key, model, reserved, trial)

    async def _pack(
        self,
        packings: dict[tuple[int, str], Packing],
        request: Request,
        model: ComposedModel,
        trial: TrialName,
        jobs: list[Job],
    ) -> bool:
        """Put a request into a batch of its model; false if the budget has it wait."""
        if not self._budget.may_call(sum(len(each.wanted) for each in packings.values())):
            return False
        reserved = self._budget.reserve(request, self._prices.of(model))
        if reserved is None:
            return False
        try:
            whole = await asyncio.to_thread(with_media, media, request) if (media := self._plan.media) else request
        except MediaChanged as error:
            self._budget.settle(reserved)
            self._results.fail([request.key], EngineError("unsupported", str(error)))
            return True
        place = (id(model.engine), model.spec.sent)
        packing = packings.get(place)
        if packing is not None and not packing.has_room(whole):
            del packings[place]
            if not await self._submit(packing, jobs):
                self._budget.settle(reserved)
                return False
            packing = None
        if packing is None:
            packing = packings[place] = Packing(model, self._file, self._policy.max_requests)
        packing.add(request, whole, model, reserved, trial)
        return True

    async def _submit(self, packing: Packing, jobs: list[Job]) -> bool:
        """Hand a batch in; false if its requests are another run's by now, so that they are to be looked at again."""
        requests = [*packing.requests()]
        if media := self._plan.media:
            items = await asyncio.to_thread(
                lambda: [item for each in requests for item in media_items(media, each.messages, self._kept)]
            )
            await self._writer.save([ItemRecorded(each) for each in items])
            requests = await asyncio.to_thread(lambda: [with_media(media, each) for each in requests])
        self._budget.calls += len(requests)
        try:
            job = await self._handing.submit(packing, requests)
        except Taken:
            self._budget.calls -= len(requests)
            self._results.give_back(packing.wanted)
            return False
        except EngineError as error:
            self._budget.calls -= len(requests)
            if error.code == "quota_exhausted":
                self._budget.stop(f"{packing.model.engine.endpoint}: {error.message}", exhausted=True)
            self._results.give_back(packing.wanted)
            self._results.fail([each.key for each in packing.wanted.values()], error)
            return True
        jobs.append(job)
        self._jobs[job.record.nonce] = job
        return True

    # --- what becomes of it -------------------------------------------------------------------------------------

    async def _wait(self, jobs: list[Job]) -> bool:
        """Look at batches until all of them are over; false if some are not and nobody is to wait for them."""
        pause = min(FIRST_LOOK_S, self._policy.poll_s)
        first = True
        while True:
            for job in jobs:
                if not job.over and time.monotonic() >= job.look_after and await self._look(job):
                    await self._close(job)
            if all(job.over for job in jobs):
                return True
            if self._detach and not first:
                return False
            first = False
            await self._handing.sleep(min(pause, 1.0) if self._detach else pause)
            pause = min(1.5 * pause, self._policy.poll_s)

    async def _look(self, job: Job) -> bool:
        """Look once at a batch, and store its answers if it is over; false if it is not, or could not be asked."""
        if job.record.ticket is None:
            return await self._look_for_ticket(job)
        try:
            state = await self._calls.collect(job.model.engine, job.record.ticket)
            job.state, job.trouble = state, ""
            if state.status == "running":
                return False
            kept_back = await self._results.store(job, state)
        except EngineError as error:
            if not error.retryable:
                moved = f", though it was submitted to {job.record.endpoint}" if job.is_moved else ""
                self._stop(job, f"can't be collected from {job.model.engine.endpoint}{moved} ({error}): mend that")
            job.trouble = error.code
            job.look_after = time.monotonic() + (error.retry_after or 0.0)
            return False
        if kept_back:
            job.trouble = kept_back
            job.incomplete_since = job.incomplete_since or time.monotonic()
            if time.monotonic() - job.incomplete_since >= self._policy.grace_s:
                self._stop(job, f"is over, but {kept_back}: look at it there")
        return not kept_back

    def _stop(self, job: Job, problem: str) -> NoReturn:
        """End the run for a batch of which nothing more can be had now; what is stored of it stays."""
        name = job.record.nonce if job.record.ticket is None else job.record.ticket.id
        self._budget.stop(f"batch {name} {problem}, or give its answers up with `themis batches forget`")
        raise Stopped

    async def _look_for_ticket(self, job: Job) -> bool:
        """See what became of a batch that another run was submitting; true if it came to nothing."""
        records = {each.nonce: each for each in await self._writer.read(_open_ones)}
        record = records.get(job.record.nonce)
        known = None if record is None else await self._with_ticket(record, job.model)
        if known is None:
            self._results.give_back(job.wanted)
            return True
        job.record = known
        if job.is_moved and known.ticket is None:
            held = await self._writer.read(lambda store: store.is_held(known.run_id))
            if known.run_id == self._plan.run_id or not held:
                self._stop(
                    job,
                    f"may be at {known.endpoint}, where no model of this spec is asked any longer: give "
                    f"{job.model.spec.model_id} that address again, so that it is looked for there",
                )
        return False

    async def _close(self, job: Job) -> None:
        """Note that a batch is over, if all that it has is stored: what this run does not want may be another's."""
        job.over = True
        del self._jobs[job.record.nonce]
        self._handing.given_up.add(job.record.nonce)
        await self._sharing.let_go([each.key for each in job.wanted.values()])
        unknown = [key for key in job.record.keys if short(key) not in job.wanted]
        known = await self._writer.read(lambda store: store.stored_generations(unknown)) if unknown else set()
        mine = job.record.run_id == self._plan.run_id and self._plan.part is None
        if job.state is not None and (mine or len(known) == len(unknown)):
            await self._handing.end(job.record, job.state.status)


def _open_ones(store: Store) -> Sequence[BatchRecord]:
    return store.open_batches()  # of the store's own class, which has no need to read its whole log
