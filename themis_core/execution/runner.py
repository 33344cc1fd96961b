"""Executes a plan: each trial walks one straight line from look-up to commit.

    per batch: which keys are stored? → generation stored? else limits → engine → retry
    → per score: stored? else parse → metric or judge → one save → commit returned → finished

Each endpoint has a lane of its own (a producer and as many workers as it may have in flight), so a dead endpoint
holds up nobody else. A worker keeps its place until the commit returned: what is called but not saved is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from themis_core.components import Judge, Store
from themis_core.execution.endpoint import Budget, Endpoint, Stopped
from themis_core.execution.scoring import broken, checked, measure, read_answer, worst
from themis_core.execution.writer import Writer
from themis_core.planning import Plan, Trial, score_key
from themis_core.plugins import ComposedModel, Scorer
from themis_core.records import (
    Event,
    Extraction,
    Generation,
    GenerationRecorded,
    ItemRecorded,
    Request,
    Score,
    ScoreEntry,
    TrialFinished,
)
from themis_core.specs import digest

__all__ = ["Progress", "Runner", "now"]

log = logging.getLogger("themis")
BATCH = 256
"""Trials per look-up."""

Stored = dict[str, tuple[Score, Extraction | None]]


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(slots=True)
class Progress:
    """Where an execution stands; handed to the caller again and again, always the same object."""

    planned: int
    done: int = 0
    reused: int = 0
    generated: int = 0
    """Engine calls that gave an answer."""
    failed: int = 0
    in_flight: int = 0
    cost: float | None = None
    note: str = ""
    """What the run waits for, if it waits."""
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Trials finished per second, those that were stored before not counted."""
        return (self.done - self.reused) / max(self.elapsed_s, 1e-9)

    @property
    def eta_s(self) -> float | None:
        return (self.planned - self.done) / self.rate if self.rate > 0 else None


@dataclass(slots=True)
class _Work:
    """A trial with what a look-up found of it."""

    trial: Trial
    scorers: Sequence[Scorer]
    score_keys: Sequence[str]
    generations: dict[str, Generation]
    scores: Stored
    owned: list[str]
    """Generation keys that this trial is the first in the run to need."""


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
        self._pending: dict[str, asyncio.Future[Generation]] = {}
        self._recorded_items: set[str] = set()
        self._observers = plan.composition.plugins.observers("themis_trial_finished")
        self.errors: dict[str, str] = {}
        """Code of failed trials: one message, as an example."""
        self.codes: Counter[str] = Counter()

    async def run(self) -> None:
        """Work through the plan. Returns when all is done or the budget says stop; raises StorageError."""
        engines = self._plan.composition.models()
        started: list[ComposedModel] = []
        try:
            for model in engines:
                await model.engine.start()
                started.append(model)
            async with asyncio.TaskGroup() as lanes:
                for endpoint in (None, *self._plan.endpoints()):
                    lanes.create_task(self._lane(endpoint))
        except* Stopped:
            pass
        finally:
            for model in started:
                await _stop(model)

    @property
    def note(self) -> str:
        """What the endpoints wait for, for people."""
        return "; ".join(each.note for each in self._endpoints.values() if each.note)

    async def _lane(self, endpoint: str | None) -> None:
        in_all = self._policy.max_in_flight_work_items
        width = min(in_all, self._policy.max_in_flight_per_endpoint or in_all)
        if self._is_local(endpoint):
            width = BATCH  # answers that cost nothing need no bound, and a larger group is a cheaper commit
        queue: asyncio.Queue[_Work | None] = asyncio.Queue(2 * BATCH)
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._worker(queue)) for _ in range(width)]
            await self._produce(endpoint, queue)
            for _ in workers:
                await queue.put(None)

    async def _produce(self, endpoint: str | None, queue: asyncio.Queue[_Work | None]) -> None:
        trials = self._plan.trials(endpoint)
        while batch := list(islice(trials, BATCH)):
            for work in await self._look_up(batch):
                await queue.put(work)
            if self._budget.stopped is not None:
                return

    async def _worker(self, queue: asyncio.Queue[_Work | None]) -> None:
        while (work := await queue.get()) is not None:
            if self._budget.stopped is not None:
                self._abandon(work)
                continue
            self.progress.in_flight += 1
            try:
                await self._trial(work)
            except Stopped:
                self._abandon(work)
            finally:
                self.progress.in_flight -= 1

    def _is_local(self, endpoint: str | None) -> bool:
        models = [model for model in self._plan.composition.models() if model.engine.endpoint == endpoint]
        return all(model.engine.capabilities.batch for model in models)

    async def _look_up(self, batch: list[Trial]) -> list[_Work]:
        """Ask the store once what it has of all these trials."""
        owners = [self._claim(trial) for trial in batch]
        keys = [[score_key(t.key, t.item, scorer) for scorer in self._scorers[t.slice_id]] for t in batch]

        def look(store: Store) -> tuple[set[tuple[str, str]], dict[str, Generation], Stored]:
            finished = store.finished_trials(self._plan.run_id, [(t.slice_id, t.trial_id) for t in batch])
            left = [i for i, t in enumerate(batch) if (t.slice_id, t.trial_id) not in finished]
            generations = store.generations([r.key for i in left for r in batch[i].requests]) if left else {}
            answered = [key for i in left if batch[i].key in generations for key in keys[i]]
            return finished, generations, store.scores(answered) if answered else {}

        finished, generations, scores = await self._writer.read(look)
        works = []
        for trial, owned, its_keys in zip(batch, owners, keys, strict=True):
            work = _Work(trial, self._scorers[trial.slice_id], its_keys, generations, scores, owned)
            for key in owned:
                if key in generations:
                    self._settle(key, generations[key])
            if (trial.slice_id, trial.trial_id) in finished:
                self.progress.done += 1
                self.progress.reused += 1
                self._abandon(work)
            else:
                works.append(work)
        return works

    def _claim(self, trial: Trial) -> list[str]:
        # Claimed before the look-up: a trial of another slice that needs the same answer then waits for this one,
        # whether the answer is committed before, during or after its own look-up.
        owned = []
        for request in trial.requests:
            if request.key not in self._pending:
                self._pending[request.key] = asyncio.get_running_loop().create_future()
                owned.append(request.key)
        return owned

    def _settle(self, key: str, generation: Generation) -> None:
        future = self._pending.get(key)
        if future is not None and not future.done():
            future.set_result(generation)

    def _abandon(self, work: _Work) -> None:
        for key in work.owned:
            future = self._pending.pop(key, None)
            if future is not None and not future.done():
                future.cancel()

    async def _trial(self, work: _Work) -> None:
        """The straight line of one trial."""
        trial = work.trial
        events: list[Event] = []
        generation, keys, called = await self._answer(work, events)
        scores: list[ScoreEntry] = []
        failure = (generation.error_code, generation.error) if generation.failed else None
        if not failure:
            for scorer, key in zip(work.scorers, work.score_keys, strict=True):
                entry = await self._score(work, scorer, key, generation, events)
                if isinstance(entry, Generation):  # a judge that could not be asked: the next run asks again
                    failure = (entry.error_code, f"judge {scorer.component}: {entry.error}")
                    break
                scores.append(entry)
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
        await self._writer.save(events)
        for key in work.owned:
            self._settle(key, generation)
            self._pending.pop(key, None)
        self._count(finished, failure[1] if failure else None)

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
        if self._budget.priced:
            progress.cost = self._budget.cost
        for name, observe in self._observers:
            try:
                observe(finished)
            except Exception:
                log.exception("plugin %r: themis_trial_finished failed; the run goes on", name)

    async def _answer(self, work: _Work, events: list[Event]) -> tuple[Generation, list[str], bool]:
        """The generation to score, the keys of its turns, and whether a call was made for it."""
        trial = work.trial
        if trial.model is None:
            output = trial.item.output or ""
            generation = Generation("answered" if output.strip() else "empty", text=output)
            request = trial.requests[0]
            if request.key in work.owned and request.key not in work.generations:
                events.append(GenerationRecorded(request.key, self._plan.run_id, now(), request, generation))
            return generation, [request.key], False
        called = False
        keys: list[str] = []
        said: list[dict[str, Any]] = []
        generation = Generation("empty")
        for turn, request in enumerate(trial.requests):
            whole = replace(request, messages=[*said, *request.messages]) if said else request
            keys.append(request.key)
            stored = work.generations.get(request.key)
            if stored is None and request.key not in work.owned:
                stored = await self._elsewhere(request.key)
            if stored is not None:
                generation = stored
            else:
                called = True
                generation = await self._call(trial.model, whole)
                event = GenerationRecorded(request.key, self._plan.run_id, now(), whole, generation)
                if turn + 1 < len(trial.requests):
                    await self._writer.save([event])  # paid for: safe before the next turn is
                    self._settle(request.key, generation)
                else:
                    events.append(event)
            if generation.status not in ("answered", "truncated"):
                break
            said = [*whole.messages, {"role": "assistant", "content": generation.text}]
        return generation, keys, called

    async def _elsewhere(self, key: str) -> Generation | None:
        """The generation that another trial under way gets for the same request."""
        future = self._pending.get(key)
        if future is None:
            return (await self._writer.read(lambda store: store.generations([key]))).get(key)
        return await _shared(future)

    async def _call(self, model: ComposedModel, request: Request) -> Generation:
        if self._writer.error is not None:
            raise Stopped
        generation = await self._endpoints[model.engine.endpoint].call(model.engine, request, model.spec.price)
        if not generation.failed:
            self.progress.generated += 1
        return generation

    async def _score(
        self, work: _Work, scorer: Scorer, key: str, generation: Generation, events: list[Event]
    ) -> ScoreEntry | Generation:
        """One score; or the failed generation of a judge that could not be asked."""
        parse = scorer.chain.name if scorer.chain else None
        if (stored := work.scores.get(key)) is not None:
            return ScoreEntry(scorer.score, scorer.metric, key, stored[0], parse, stored[1], new=False)
        extraction = read_answer(scorer.chain, generation)
        if scorer.judge is None:
            result = measure(scorer, work.trial.item, generation, extraction)
            return ScoreEntry(scorer.score, scorer.metric, key, result, parse, extraction)
        judged = await self._judge(work.trial, scorer, generation, extraction)
        if isinstance(judged, Generation):
            return judged
        return ScoreEntry(scorer.score, scorer.metric, key, judged[0], parse, extraction, judged_by=judged[1])

    async def _judge(
        self, trial: Trial, scorer: Scorer, generation: Generation, extraction: Extraction | None
    ) -> tuple[Score, tuple[str, ...]] | Generation:
        assert isinstance(scorer.scoring, Judge)
        assert scorer.judge is not None
        try:
            if generation.status in ("refused", "empty") or (extraction is not None and not extraction.parsed):
                return worst(scorer, trial.item, generation), ()
            value = extraction.value if extraction is not None else generation.text
            asked = list(_judge_requests(scorer, trial, generation, value))
        except Exception as error:  # noqa: BLE001 - a plugin's bug costs this score only
            return broken(scorer, error), ()
        replies: list[list[Generation]] = []
        keys = []
        for requests in asked:
            answers = []
            for request in requests:
                reply = await self._judgement(scorer.judge[0], request)
                if reply.failed:
                    return reply
                answers.append(reply)
                keys.append(request.key)
            replies.append(answers)
        try:
            return checked(scorer.scoring.score(trial.item, generation, value, replies)), tuple(keys)
        except Exception as error:  # noqa: BLE001 - as above
            return broken(scorer, error), tuple(keys)

    async def _judgement(self, model: ComposedModel, request: Request) -> Generation:
        """A judge's reply, stored like any generation as soon as it is there."""
        if (future := self._pending.get(request.key)) is not None:
            return await _shared(future)
        self._pending[request.key] = future = asyncio.get_running_loop().create_future()
        try:
            stored = await self._writer.read(lambda store: store.generations([request.key]))
            if request.key not in stored:
                reply = await self._call(model, request)
                await self._writer.save([GenerationRecorded(request.key, self._plan.run_id, now(), request, reply)])
                stored = {request.key: reply}
            future.set_result(stored[request.key])
            return stored[request.key]
        finally:
            if not future.done():
                future.cancel()
            self._pending.pop(request.key, None)


def _judge_requests(scorer: Scorer, trial: Trial, generation: Generation, value: Any) -> Iterator[list[Request]]:
    assert isinstance(scorer.scoring, Judge)
    assert scorer.judge is not None
    model, params, repeats = scorer.judge
    for asked in scorer.scoring.requests(trial.item, generation, value):
        given = {**params.given(), **asked.params}
        head = digest([model.identity(), given, asked.messages, trial.item.id])
        yield [
            Request(model.spec.model_id, asked.messages, given, trial.item.id, i, given.get("seed"), digest([head, i]))
            for i in range(repeats)
        ]


async def _shared(future: asyncio.Future[Generation]) -> Generation:
    """Wait for what another trial asks; raises Stopped if that trial was given up."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if future.cancelled():
            raise Stopped from None
        raise


async def _stop(model: ComposedModel) -> None:
    try:
        await model.engine.stop()
    except Exception:
        log.exception("engine %r of model %r did not stop cleanly", model.component, model.spec.model_id)
