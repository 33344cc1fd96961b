"""Executes a plan: each trial walks one straight line from look-up to commit.

    per batch: which keys are stored? → generation stored? else limits → engine → retry
    → per score: stored? else parse → metric or judge → one save → commit returned → finished

Each endpoint has a lane of its own (a producer and as many workers as it may have in flight), so a dead endpoint
holds up nobody else. A worker keeps its place until the commit returned: what is called but not saved is bounded.

How a trial comes by its answer is in `answering`, why no two trials ask for the same in `claims`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from themis_core.components import JudgedAnswer, Store
from themis_core.errors import PluginError, SpecError, ThemisError
from themis_core.execution.answering import Answering
from themis_core.execution.claims import Claims
from themis_core.execution.deadline import Overdue, outcome, within
from themis_core.execution.endpoint import Budget, Endpoint, Stopped
from themis_core.execution.judging import JUDGED_BY, Judging
from themis_core.execution.progress import Progress, now
from themis_core.execution.scoring import measure, nothing_to_read, read_answer, unscorable
from themis_core.execution.sharing import Sharing
from themis_core.execution.work import Stored, Work
from themis_core.execution.writer import Unsavable, Writer
from themis_core.planning import Plan, Trial, own
from themis_core.plugins import ComposedModel, Scorer, blaming
from themis_core.records import (
    SCORE_FAULTS,
    WARNING,
    Event,
    Extraction,
    Generation,
    GenerationRecorded,
    ItemRecorded,
    Score,
    ScoreEntry,
    TrialFinished,
)

__all__ = ["Runner"]

log = logging.getLogger("themis")
BATCH = 256
"""Trials per look-up."""
TOGETHER = 64
"""Trials of a local engine that one worker saves together: a task for each would cost more than its answer."""

UNAVAILABLE = "judge_unavailable"
CODE = "error_code"
"""In the details of a score with that reason: how asking the judge failed."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A trial whose outcome is not saved yet."""

    work: Work
    finished: TrialFinished
    generation: Generation
    error: str | None
    events: Sequence[Event]
    """What is to be saved of it, `finished` last."""


class Runner:
    """One execution of one plan."""

    def __init__(self, plan: Plan, writer: Writer, budget: Budget, progress: Progress) -> None:
        self._plan = plan
        self._writer = writer
        self._budget = budget
        self.progress = progress
        policy = plan.composition.project.execution_policy
        self._policy = policy
        self._slots = asyncio.Semaphore(policy.max_in_flight_work_items)
        names = {model.engine.endpoint for model in plan.composition.models()}
        self._endpoints = {name: Endpoint(name, policy, self._slots, budget) for name in sorted(names)}
        self._scorers = {each.composed.spec.slice_id: each.scorers for each in plan.slices}
        self._claims = Claims(writer)
        self._sharing = Sharing(writer, plan.run_id)
        self._answering = Answering(plan.run_id, writer, self._endpoints, self._claims, self._sharing, progress)
        self._judging = Judging(writer, self._answering.call_judge, plan.run_id, now)
        self._recorded_items: set[str] = set()
        self._observers = plan.composition.plugins.observers("themis_trial_finished")
        self.errors: dict[str, str] = {}
        """Code of failed trials, or of `SCORE_FAULTS`: one message, as an example."""
        self.codes: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        """What engines warn of, by how many answers."""

    async def run(self) -> None:
        """Work through the plan. Returns when all is done or the budget says stop; raises StorageError."""
        started: list[ComposedModel] = []
        try:
            for model in {id(each.engine): each for each in self._plan.composition.models()}.values():
                await self._start(model)
                started.append(model)
            await self._sharing.begin()
            watching = asyncio.create_task(self._sharing.watch())
            try:
                async with asyncio.TaskGroup() as lanes:
                    for endpoint in (None, *self._plan.endpoints()):
                        lanes.create_task(self._lane(endpoint))
            finally:
                watching.cancel()
            await self._sharing.end()
        except* Stopped:
            pass
        finally:
            for model in started:
                await self._stop(model)
            self._observers.count_failures()

    @property
    def note(self) -> str:
        """What the endpoints and the store wait for, for people."""
        notes = [*(each.note for each in self._endpoints.values()), self._writer.note]
        return "; ".join(filter(None, notes))

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

    async def _lane(self, endpoint: str | None) -> None:
        width, together = self._width(endpoint)
        queue: asyncio.Queue[list[Work] | None] = asyncio.Queue(2 * BATCH // together)
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._worker(queue)) for _ in range(width)]
            error: ThemisError | None = None
            try:
                await self._produce(endpoint, queue, together)
            except ThemisError as raised:  # such as a dataset that changed: what is under way ends in good order
                error = raised
            for _ in workers:
                await queue.put(None)
        if error is not None:
            raise error

    def _width(self, endpoint: str | None) -> tuple[int, int]:
        """How many workers a lane has, and how many trials each of them takes at a time."""
        models = self._plan.composition.models()
        judged = any(scorer.judges for scorers in self._scorers.values() for scorer in scorers)
        if not judged and all(model.engine.capabilities.batch for model in models):
            return BATCH // TOGETHER, TOGETHER
        if all(model.engine.capabilities.batch for model in models if model.engine.endpoint == endpoint):
            return BATCH, 1  # answers that cost nothing need no bound, but their judges are asked one by one
        in_all = self._policy.max_in_flight_work_items
        return min(in_all, self._policy.max_in_flight_per_endpoint or in_all), 1

    async def _produce(self, endpoint: str | None, queue: asyncio.Queue[list[Work] | None], together: int) -> None:
        trials = self._plan.trials(endpoint)
        while batch := list(islice(trials, BATCH)):
            works = await self._look_up(batch)
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
        """Bring trials to their ends and save them as one; what a stopped trial has paid for is saved as well."""
        paid: list[Event] = []
        ended: list[_Ended] = []
        stopped: list[Work] = []
        for work in works:
            work.together = works[0].together
            events: list[Event] = []
            try:
                if self._budget.stopped is not None:
                    raise Stopped
                ended.append(await self._trial(work, events))
            except Stopped:
                paid += events
                stopped.append(work)
        if events := [*paid, *(event for each in ended for event in each.events)]:
            try:
                await self._writer.save(events)
            except Unsavable:
                await self._save_answers(paid)
                ended = [await self._saved_alone(each) for each in ended]
        for each in ended:
            self._claims.let_go(each.work.owned, each.generation)
            self._count(each.finished, each.error)
            if WARNING in each.generation.provider and not each.finished.reused:
                self.warnings[str(each.generation.provider[WARNING])] += 1
        for work in stopped:
            self._claims.let_go(work.owned, None)

    async def _saved_alone(self, ended: _Ended) -> _Ended:
        """Save one trial; if something of it can't be stored, as failed, with what was paid for."""
        try:
            await self._writer.save(ended.events)
        except Unsavable as error:
            failed = replace(ended.finished, outcome="failed", error_code="engine_error", scores=())
            await self._save_answers(ended.events)
            await self._writer.save([failed])
            return replace(ended, finished=failed, error=str(error))
        return ended

    async def _save_answers(self, events: Sequence[Event]) -> None:
        """Save what was paid for, each answer alone, as far as it can be stored."""
        for event in events:
            if isinstance(event, GenerationRecorded):
                with suppress(Unsavable):
                    await self._writer.save([event])

    async def _look_up(self, batch: list[Trial]) -> list[Work]:
        """Ask the store once what it has of all these trials."""
        owners = [self._claims.claim(trial.needed) for trial in batch]
        keys = [[t.score_key(scorer) for scorer in self._scorers[t.slice_id]] for t in batch]

        def look(store: Store) -> tuple[set[tuple[str, str]], dict[str, Generation], Stored]:
            finished = store.finished_trials(self._plan.run_id, [(t.slice_id, t.trial_id) for t in batch])
            left = [i for i, t in enumerate(batch) if (t.slice_id, t.trial_id) not in finished]
            generations = store.generations([r.key for i in left for r in batch[i].needed]) if left else {}
            answered = [key for i in left if batch[i].key in generations for key in keys[i]]
            return finished, generations, store.scores(answered) if answered else {}

        finished, generations, stored = await self._writer.read(look)
        scores = {key: each for key, each in stored.items() if each[0].rank}
        works = []
        for trial, owned, its_keys in zip(batch, owners, keys, strict=True):
            work = Work(trial, self._scorers[trial.slice_id], its_keys, generations, scores, owned)
            for key in owned:
                if key in generations:
                    self._claims.settle(key, generations[key])
            if (trial.slice_id, trial.trial_id) in finished:
                self.progress.done += 1
                self.progress.reused += 1
                self._claims.let_go(work.owned, None)
            else:
                works.append(work)
        return works

    def _release_baselines(self, work: Work) -> None:
        """End a trial's claims on baselines: what it needed is saved, and the rest is up to whoever needs it."""
        own = {request.key for request in work.trial.requests}
        self._claims.let_go([key for key in work.owned if key not in own], None)
        work.owned[:] = [key for key in work.owned if key in own]

    async def _trial(self, work: Work, events: list[Event]) -> _Ended:
        """The straight line of one trial; what is to be saved of it joins the events."""
        trial = work.trial
        if any(scorer.judges for scorer in work.scorers):
            generation, keys, called = await self._answering.answer_to_be_judged(work)
        else:
            generation, keys, called = await self._answering.answer(work, events)
        scores: list[ScoreEntry] = []
        failure = (generation.error_code, generation.error) if generation.failed else None
        if not failure and generation.status != "absent":
            for scorer, key in zip(work.scorers, work.score_keys, strict=True):
                scores.append(await self._score(work, scorer, key, generation))
        if trial.baselines:
            self._release_baselines(work)
        if trial.item.digest not in self._recorded_items:
            if len(self._recorded_items) > 4 * BATCH:
                self._recorded_items.clear()
            self._recorded_items.add(trial.item.digest)
            events.append(ItemRecorded(trial.item))
        finished = TrialFinished(
            self._plan.run_id, now(), trial.slice_id, trial.trial_id, trial.item.id, trial.item.digest,
            trial.prompt_variant_id, trial.model_id, trial.params, trial.sample_index, tuple(keys),
            "failed" if failure else generation.status, failure[0] if failure else None, not called,
            () if failure else tuple(scores),
        )  # fmt: skip
        events.append(finished)
        return _Ended(work, finished, generation, failure[1] if failure else None, events)

    def _count(self, finished: TrialFinished, error: str | None) -> None:
        progress = self.progress
        progress.done += 1
        if finished.outcome == "failed":
            progress.failed += 1
            code = finished.error_code or "engine_error"
            self.codes[code] += 1
            self.errors.setdefault(code, error or "")
        elif finished.reused:
            progress.reused += 1
        for entry in finished.scores:
            if (reason := entry.result.reason) in SCORE_FAULTS and reason is not None:
                told = entry.result.details
                named = [str(told[name]) for name in ("component", "method", "error") if name in told]
                self.errors.setdefault(reason, ": ".join(named) or SCORE_FAULTS[reason])
        if codes := {str(each.result.details[CODE]) for each in finished.scores if each.result.reason == UNAVAILABLE}:
            progress.failed += 1
            self.codes.update(codes)
        progress.cost = self._budget.before + self._budget.cost
        self._observers.tell(lambda: {"event": own(finished)})

    async def _score(self, work: Work, scorer: Scorer, key: str, generation: Generation) -> ScoreEntry:
        parse = scorer.chain.name if scorer.chain else None
        if (stored := work.scores.get(key)) is not None:
            judged_by = tuple(stored[0].details.get(JUDGED_BY, ())) if scorer.judges else ()
            return ScoreEntry(
                scorer.score, scorer.metric, key, stored[0], parse, stored[1], new=False, judged_by=judged_by
            )
        if scorer.baseline is not None and scorer.baseline is work.trial.model:
            return ScoreEntry(scorer.score, scorer.metric, key, Score(reason="is_baseline"), parse)
        if (unscored := unscorable(scorer, work.trial.item)) is not None:
            return ScoreEntry(scorer.score, scorer.metric, key, unscored, parse)
        extraction = read_answer(scorer.chain, generation)
        if isinstance(extraction, Score):  # a component failed at it
            return ScoreEntry(scorer.score, scorer.metric, key, extraction, parse)
        if scorer.judges is None or (scorer.judges and nothing_to_read(generation, extraction)):
            result = measure(scorer, work.trial.item, generation, extraction)
            return ScoreEntry(scorer.score, scorer.metric, key, result, parse, extraction)
        judged = await self._judge(work, scorer, generation, extraction)
        if isinstance(judged, Generation):  # the next run asks again
            judged = _unavailable(scorer, judged), ()
        return ScoreEntry(scorer.score, scorer.metric, key, judged[0], parse, extraction, judged_by=judged[1])

    async def _judge(
        self, work: Work, scorer: Scorer, generation: Generation, extraction: Extraction | None
    ) -> tuple[Score, tuple[str, ...]] | Generation:
        trial = work.trial
        baseline = await self._answering.baseline(work, scorer)
        if baseline is not None and baseline.failed:
            return baseline
        if baseline is not None and baseline.status == "absent":
            return Score(reason="no_baseline"), ()
        value = extraction.value if extraction is not None else generation.text
        asked = [message for request in trial.requests for message in request.messages]
        judged = JudgedAnswer(trial.item, generation, value, trial.model_id, trial.sample_index, asked, baseline)
        return await self._judging.score(scorer, judged)


def _unavailable(scorer: Scorer, failed: Generation) -> Score:
    """The score of a judge of which a request failed: the other scores of the trial are not touched by it."""
    code = failed.error_code or "engine_error"
    told = {"component": scorer.component, "error": f"{code}: {failed.error}", CODE: code}
    return Score(reason=UNAVAILABLE, details=told)
