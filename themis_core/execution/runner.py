"""Executes a plan: each trial goes through four stages, in this order, one module each.

    sources ─ which trials: those of the plan, or of the parts that a worker leases as it goes on (`leasing`)
    batching ─ models that are asked by batches: all their answers are stored first
    lookups ─ what of it is stored? ─ finished: counted
    answering ─ its answer: stored, or limits → engine → retry (`endpoint`)
       │ all its scores are quick                 │ a slow component or a judge among them
       │                                          └ answer saved ─ queue, bounded
    scores ─ per score: stored? else parse → metric or judge, each call in its lane (`lanes`)
    saving ─ one commit ─ finished ─ counted, observers told

Each endpoint has a producer and workers of its own, so a dead endpoint holds up nobody else. A worker keeps its place
until its commit returned, so what is called but not saved is bounded by what may be in flight. A full queue holds up
workers, never the event loop.

Why no two trials ask for the same is told in `claims`, how the loop meets deadlines in `deadline`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from themis_core.components import Engine, Metric
from themis_core.errors import PluginError, SpecError, ThemisError
from themis_core.execution.answering import Answered, Answering
from themis_core.execution.batching import Batching
from themis_core.execution.claims import Claims
from themis_core.execution.deadline import outcome, within
from themis_core.execution.endpoint import Endpoint
from themis_core.execution.judging import Judging
from themis_core.execution.lanes import Lanes
from themis_core.execution.lookups import LookUps
from themis_core.execution.progress import Progress, now
from themis_core.execution.saving import Ended, Saving
from themis_core.execution.scores import Scores, are_quick
from themis_core.execution.sharing import Sharing
from themis_core.execution.sources import BATCH, Source, Trials, WholePlan
from themis_core.execution.watching import watch_of
from themis_core.execution.work import Work
from themis_core.execution.writer import Unsavable, Writer
from themis_core.planning import Plan
from themis_core.plugins import ComposedModel, blaming
from themis_core.records import Generation
from themis_costs import Budget, Stopped
from themis_lanes import Overdue

if TYPE_CHECKING:
    from themis_core.execution.limits import SharedLimits

__all__ = ["Runner"]

log = logging.getLogger("themis")
TOGETHER = 256
"""Trials of a local engine that one worker saves together: a task for each would cost more than its answer."""
AT_WORK = 2
"""Such workers: one answers while the trials of the other are saved."""

FEWEST_BEHIND = 64
"""Trials, at least, that may wait for their scores; each holds its item and its answer."""


class Runner:
    """One execution of one plan, or of what of it the source gives."""

    def __init__(
        self,
        plan: Plan,
        writer: Writer,
        budget: Budget,
        progress: Progress,
        source: Source | None = None,
        *,
        detach: bool = False,
    ) -> None:
        self._plan = plan
        self._source = source or WholePlan(plan)
        self._writer = writer
        self._budget = budget
        self.progress = progress
        policy = plan.composition.project.execution_policy
        self._policy = policy
        self._slots = asyncio.Semaphore(policy.max_in_flight_work_items)
        self._watch = watch_of(plan.composition, plan.run_id)
        places = _places([model.engine for model in plan.composition.models()])
        # Workers spend `max_cost` together, whoever of them gets how much to do, and whoever of them is lost.
        spends_together = source is not None and policy.max_cost is not None
        shares = policy.share_limits or spends_together
        self._shared: SharedLimits | None = None
        if shares:
            from themis_core.execution.limits import SharedLimits  # not needed by most runs

            self._shared = SharedLimits(writer, policy, budget, plan.run_id)
        joined = self._shared if policy.share_limits else None
        self._endpoints = {
            name: Endpoint(name, policy, self._slots, budget, plan.media, self._watch, places[name], joined)
            for name in sorted(places)
        }
        scorers = {each.composed.spec.slice_id: each.scorers for each in plan.slices}
        self._quick = {slice_id: all(map(are_quick, its)) for slice_id, its in scorers.items()}
        self._judged = any(scorer.judges or scorer.baseline for its in scorers.values() for scorer in its)
        self._observers = plan.composition.plugins.observers("themis_trial_finished")
        self._claims = Claims(writer)
        self._sharing = Sharing(writer, plan.run_id, beside=plan.part is not None or source is not None)
        self._lanes = Lanes(policy, budget)
        self._look_ups = LookUps(plan.run_id, writer, self._claims, scorers, progress)
        self.batching = Batching(plan, writer, self._sharing, budget, progress, self._watch, detach=detach)
        self._answering = Answering(
            plan.run_id,
            writer,
            self._endpoints,
            self._claims,
            self._sharing,
            progress,
            plan.media,
            self.batching,
            self._watch,
        )
        judging = Judging(writer, self._answering.call_judge, plan.run_id, now, self._lanes)
        self._scores = Scores(plan.asked, self._answering, judging, self._lanes)
        self.saving = Saving(plan.run_id, writer, self._claims, budget, progress, self._observers, self._source.ended)
        batches = [
            each.scoring.batch_size for its in scorers.values() for each in its if isinstance(each.scoring, Metric)
        ]
        at_once = max(
            FEWEST_BEHIND, policy.max_in_flight_work_items, 4 * policy.scoring_threads, 2 * max([1, *batches])
        )
        self._behind = asyncio.Semaphore(at_once)
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Work through the plan. Returns when all is done or the budget says stop; raises StorageError."""
        started: list[ComposedModel] = []
        try:
            for model in self._plan.composition.by_engine():
                await self._start(model)
                started.append(model)
            await self._sharing.begin()
            watching = [asyncio.create_task(self._sharing.watch())]
            if self._shared is not None:
                await self._shared.begin()
                watching.append(asyncio.create_task(self._shared.watch()))
            try:
                await self.batching.begin()
                async with self._group:
                    self._begin()
            finally:
                for each in watching:
                    each.cancel()
                self._lanes.close()
                if self._shared is not None:
                    await self._shared.end()
            await self._sharing.end()
        except* Stopped:
            pass
        finally:
            for model in started:
                await self._stop(model)
            self._observers.count_failures()
            if self._watch is not None:
                self._watch.count_failures()

    @property
    def has_postponed(self) -> bool:
        """Whether trials were left because another run has their requests in a batch: a new runner waits for it."""
        return self._sharing.has_postponed

    @property
    def note(self) -> str:
        """What the endpoints and the store wait for, for people."""
        endpoints = (each.note for each in self._endpoints.values())
        notes = [*endpoints, self.batching.note, self._lanes.note, self._writer.note]
        return "; ".join(filter(None, notes))

    async def report(self) -> None:
        """Tell the store how far the part is that is worked on."""
        run_id, part = self._plan.run_id, self.progress.part
        told = {**self.progress.plain(), "note": self.note}
        await self._writer.read(lambda store: store.report(run_id, part, told))

    async def _start(self, model: ComposedModel) -> None:
        if self._budget.stopped is not None:
            raise Stopped
        limit = self._policy.start_timeout_s
        with blaming(model.component, "start", but=(SpecError, PluginError, Stopped)):
            starting = asyncio.create_task(outcome(lambda: within(limit, model.engine.start)))
            self._budget.when_stopped.append(starting.cancel)
            try:
                _, error = await starting
                if error is not None:
                    raise error
            except Overdue:
                raise PluginError(
                    f"{model.component}: start took longer than {limit:g} s: raise execution_policy.start_timeout_s "
                    "if it needs more"
                ) from None
            except asyncio.CancelledError:
                if self._budget.stopped is not None:
                    raise Stopped from None
                raise

    async def _stop(self, model: ComposedModel) -> None:
        """Stop an engine; one that can't be stopped harms no run whose answers are saved, and is told of."""
        limit = self._policy.stop_timeout_s
        try:
            with blaming(model.component, "stop", but=(Overdue,)):
                await within(limit, model.engine.stop)
        except Overdue:
            told = "%s: stop took longer than %g s (execution_policy.stop_timeout_s); the run goes on"
            log.error(told, model.component, limit)
        except PluginError as error:
            log.error("%s\nthe run goes on", error)

    def _begin(self) -> None:
        """Begin all that is done side by side: batches, and for each endpoint the trials of the models that are asked
        call by call and those of the others. Trials wait for the batches that have answers which they need."""
        by_batch = self.batching.labels
        answers = {
            endpoint: self._group.create_task(self._by_batch(endpoint, labels))
            for endpoint in self._plan.endpoints()
            if (labels := self._plan.labels(endpoint) & by_batch)
        }
        recorded = any(each.composed.spec.generation is None for each in self._plan.slices)
        lanes: list[tuple[str | None, frozenset[str]]] = [(None, frozenset())] if recorded else []
        for asked in self._plan.endpoints():
            of_endpoint = self._plan.labels(asked)
            lanes += [(asked, labels) for labels in (of_endpoint - by_batch, of_endpoint & by_batch) if labels]
        for endpoint, labels in lanes:  # each asks its source now, before any of them takes a trial
            needed = (labels | self._plan.baselines_of(labels)) & by_batch
            waits = [task for name, task in answers.items() if self._plan.labels(name) & needed]
            trials = self._source.trials(endpoint, labels)
            self._group.create_task(self._lane_after(waits, endpoint, trials))

    async def _by_batch(self, endpoint: str, labels: Collection[str]) -> bool:
        """Have models answered by batches; false if that is left to a later execution."""
        try:
            return await self.batching.answer(endpoint, labels)
        except Stopped:
            return False

    async def _lane_after(self, waits: Sequence[asyncio.Task[bool]], endpoint: str | None, trials: Trials) -> None:
        if all([await asyncio.shield(each) for each in waits]):
            await self._lane(endpoint, trials)

    async def _lane(self, endpoint: str | None, trials: Trials) -> None:
        width, together = self._width(endpoint)
        queue: asyncio.Queue[list[Work] | None] = asyncio.Queue(self._source.waiting(width * together) // together)
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._worker(queue)) for _ in range(width)]
            error: ThemisError | None = None
            try:
                await self._produce(trials, queue, together)
            except ThemisError as raised:  # such as a dataset that changed: what is under way ends in good order
                error = raised
            for _ in workers:
                await queue.put(None)
        if error is not None:
            raise error

    def _width(self, endpoint: str | None) -> tuple[int, int]:
        """How many workers a lane has, and how many trials each of them takes at a time."""
        models = self._plan.composition.models()
        if not self._judged and all(model.engine.capabilities.local for model in models):
            return AT_WORK, TOGETHER
        if all(model.engine.capabilities.local for model in models if model.engine.endpoint == endpoint):
            return BATCH, 1  # answers that cost nothing need no bound, but their judges are asked one by one
        in_all = self._policy.max_in_flight_work_items
        return min(in_all, self._policy.max_in_flight_per_endpoint or in_all), 1

    async def _produce(self, trials: Trials, queue: asyncio.Queue[list[Work] | None], together: int) -> None:
        async for batch in trials:
            works = await self._look_ups.of(batch)
            left = {id(work.trial) for work in works}
            self._source.ended([trial for trial in batch if id(trial) not in left])
            for start in range(0, len(works), together):
                await queue.put(works[start : start + together])
            if self._budget.stopped is not None:
                return

    async def _worker(self, queue: asyncio.Queue[list[Work] | None]) -> None:
        while (works := await queue.get()) is not None:
            self.progress.in_flight += len(works)
            try:
                await self._work(works)
            finally:
                self.progress.in_flight -= len(works)

    async def _work(self, works: list[Work]) -> None:
        """Answer trials, and save them as one with those scores that are quick; the others are scored behind."""
        ended: list[Ended] = []
        to_score: list[tuple[Work, Answered]] = []
        for work in works:
            work.together = works[0].together
            try:
                if self._budget.stopped is not None:
                    raise Stopped
                if self._watch is not None:
                    self._watch.trial(work.trial.slice_id, work.trial.trial_id)
                answered = await self._answering.answer(work)
            except Stopped:
                self._leave(work)
                continue
            except Unsavable as error:  # of a turn in the middle
                failed = Generation("failed", error_code="engine_error", error=str(error))
                answered = Answered(failed, [work.trial.requests[0].key], True, [])
            if answered.generation.failed or answered.generation.status == "absent":
                ended.append(self.saving.ended(work, answered, ()))
            elif self._quick[work.trial.slice_id]:
                scores = await self._scores.of(work, answered.generation)
                ended.append(self.saving.ended(work, answered, scores))
            else:
                to_score.append((work, answered))
        await self.saving.trials(ended)
        for work, answered in await self.saving.answers(to_score):
            await self._behind_or_here(work, answered)

    def _leave(self, work: Work) -> None:
        self._claims.let_go(work.owned, None)
        self._source.left(work.trial)

    async def _behind_or_here(self, work: Work, answered: Answered) -> None:
        if work.trial.baselines:
            # Others may wait for the baselines that it is to ask for. In a queue it could stand behind these.
            await self._score(work, answered)
            return
        await self._behind.acquire()
        self.progress.in_flight += 1
        scoring = self._group.create_task(self._score(work, answered))
        scoring.add_done_callback(self._scored)

    def _scored(self, _: asyncio.Task[None]) -> None:
        self.progress.in_flight -= 1
        self._behind.release()

    async def _score(self, work: Work, answered: Answered) -> None:
        """Score a trial whose answer is saved, and end it. A run that ends leaves it to the next one."""
        if self._watch is not None:
            self._watch.trial(work.trial.slice_id, work.trial.trial_id)
        try:
            scores = await self._scores.of(work, answered.generation)
        except Stopped:
            self._leave(work)
            return
        ended = self.saving.ended(work, answered, scores)
        if work.trial.baselines:
            self._claims.release_baselines(work)
            await self.saving.trials([ended])
        else:
            await self.saving.behind(ended)


def _places(engines: Sequence[Engine]) -> dict[str, int | None]:
    """By endpoint, how many calls its engines let be in flight at once, the fewest of them; None if none says."""
    found: dict[str, int | None] = {}
    for engine in engines:
        least, own = found.get(engine.endpoint), engine.at_once
        found[engine.endpoint] = own if least is None else least if own is None else min(least, own)
    return found
