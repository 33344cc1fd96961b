"""Second stage of a trial: its answer, stored, from another trial or run, or by a call that is paid for once.

The requests of judges take the same way, and so do those of models that play users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import NamedTuple

from themis_core.execution.batching import Batching
from themis_core.execution.claims import Claims
from themis_core.execution.endpoint import Endpoint, Stopped
from themis_core.execution.progress import Progress, now
from themis_core.execution.sharing import Sharing
from themis_core.execution.watching import RequestWatch
from themis_core.execution.work import Work
from themis_core.execution.writer import Writer
from themis_core.planning import Dialogue, Trial, as_user, media_items
from themis_core.plugins import ComposedModel, Scorer
from themis_core.records import (
    SIMULATED_USER,
    WARNING,
    Event,
    Generation,
    GenerationRecorded,
    ItemRecorded,
    Request,
    RunCost,
)
from themis_core.specs import digest
from themis_media import Media, MediaChanged

__all__ = ["Answered", "Answering"]


class Answered(NamedTuple):
    """The answer of a trial."""

    generation: Generation
    """That of the last turn, which is scored."""
    keys: Sequence[str]
    """Generation keys of its turns."""
    called: bool
    """Whether a call was made for it."""
    unsaved: Sequence[Event]
    """What of it is not saved yet."""


class Answering:
    """Whoever needs an answer gets it here, so that a run asks for it once."""

    def __init__(
        self,
        run_id: str,
        writer: Writer,
        endpoints: Mapping[str, Endpoint],
        claims: Claims,
        sharing: Sharing,
        progress: Progress,
        media: Media,
        batching: Batching,
        watch: RequestWatch | None = None,
    ) -> None:
        self._watch = watch
        self._run_id = run_id
        self._writer = writer
        self._endpoints = endpoints
        self._claims = claims
        self._sharing = sharing
        self._progress = progress
        self._media = media
        self._batching = batching
        self._kept: set[str] = set()
        """Digests of the media that the store was given."""

    async def answer(self, work: Work) -> Answered:
        """The answer to score; all turns but the last are saved."""
        trial = work.trial
        events: list[Event] = []
        if trial.model is None:
            output = trial.item.output or ""
            generation = Generation("answered" if output.strip() else "empty", text=output)
            request = trial.requests[0]
            if request.key in work.owned and request.key not in work.generations:
                events.append(GenerationRecorded(request.key, self._run_id, now(), request, generation))
            return Answered(generation, [request.key], False, events)
        talk = Dialogue(trial.requests, trial.talk)
        called = False
        while (asked := talk.next) is not None:
            said = work.generations.get(asked.key) or work.together.get(asked.key)
            if said is None and asked.key not in work.owned:
                said = await self._claims.elsewhere(asked.key, work.owned)
            if said is not None:
                called |= self._batching.is_new(asked.key)
            else:
                said, is_new = await self._ask(trial, talk, asked)
                called |= is_new
                events = [GenerationRecorded(asked.key, self._run_id, now(), asked, said)]
            of_user = talk.is_of_user
            talk.take(said)
            if events and (talk.next is not None or of_user or talk.fault is not None):
                work.warned += [str(said.provider[WARNING])] if WARNING in said.provider else ()
                await self._writer.save(events)  # paid for: safe before the next turn is
                self._claims.settle(asked.key, said)
                events = []
        if talk.fault is not None:
            assert talk.failed is not None
            events.append(GenerationRecorded(talk.fault.key, self._run_id, now(), talk.fault, talk.failed))
        answer, keys = talk.answer, talk.keys
        assert answer is not None
        if events:
            work.together[keys[-1]] = answer
        work.asked, work.heard = talk.asked, talk.heard
        return Answered(answer, keys, called, events)

    async def baseline(self, work: Work, scorer: Scorer) -> Generation | None:
        """What the judge compares with: the answer of another model to the same, called for here if need be."""
        baseline = work.trial.baseline_of(scorer)
        if baseline is None:
            return None
        key = baseline.requests[-1].key
        if key in work.baselines:
            return work.baselines[key]
        its = replace(work, trial=replace(
            work.trial, model=baseline.model, requests=baseline.requests, talk=baseline.talk, baselines=()
        ))  # fmt: skip
        generation, keys, _, unsaved = await self.answer(its)
        if unsaved:  # paid for, and judges of other trials may wait for it
            await self._writer.save(unsaved)
        if keys[-1] in work.owned:
            self._claims.settle(keys[-1], generation)
        if generation.failed:
            generation = replace(generation, error=f"the baseline {baseline.model.spec.model_id}: {generation.error}")
        if its.heard:
            generation = replace(generation, conversation=its.heard)
        work.baselines[key] = generation
        return generation

    async def _ask(self, trial: Trial, talk: Dialogue, request: Request) -> tuple[Generation, bool]:
        """What `_call` gives for the next turn of the model, or for what a simulated user says next."""
        if not talk.is_of_user:
            assert trial.model is not None
            failed = self._batching.outcome(trial.model, request.key)
            if failed is not None:
                return failed, True
            answer, is_new = await self._call(trial.model, request)
            if SIMULATED_USER in answer.provider:  # which is the run's to say
                kept = {name: value for name, value in answer.provider.items() if name != SIMULATED_USER}
                answer = replace(answer, provider=kept)
            return answer, is_new
        assert trial.talk is not None
        assert trial.talk.user is not None
        with nullcontext() if self._watch is None else self._watch.asking_as("user"):
            reply, is_new = await self._call(trial.talk.user, request)
        if is_new and not reply.failed:
            self._progress.simulated += 1
        said = as_user(reply, talk.turns, trial.talk.user.spec.model_id)
        if said.failed and RunCost.of(said):  # it answered, but nothing that can be said
            await self._save_cost(request, said)
            said = RunCost().put_into(said)
        return said, is_new

    async def _call(self, model: ComposedModel, request: Request) -> tuple[Generation, bool]:
        """The answer to a request, and whether this run asked for it; if not, another one did just now."""
        if self._writer.error is not None:
            raise Stopped
        if self._media:
            await self._save_media(request)
        is_shared = not model.engine.capabilities.local
        if is_shared and (answer := await self._sharing.turn(request.key)) is not None:
            return answer, False
        generation: Generation | None = None
        try:
            generation = await self._endpoints[model.engine.endpoint].call(model.engine, request, model.spec.price)
        except Stopped as stopped:
            if stopped.cost:
                cut = Generation("failed", error_code="cancelled", error="the run ended before another attempt")
                await self._save_cost(request, stopped.cost.put_into(cut))
            raise
        finally:
            if is_shared:
                await self._sharing.done(request.key, answered=generation is not None and not generation.failed)
        if not generation.failed:
            self._progress.generated += 1
        elif RunCost.of(generation):
            await self._save_cost(request, generation)
            generation = RunCost().put_into(generation)
        if generation.error_code in ("engine_error", "timeout"):  # whose fault it is, is not told by the code
            generation = replace(generation, error=f"{model.component}: generate: {generation.error}")
        return generation, True

    async def _save_media(self, request: Request) -> None:
        """Keep what a request is sent beside its messages, once each, before it is paid for."""
        with suppress(MediaChanged):  # which fails the call, and is told there
            items = await asyncio.to_thread(lambda: [*media_items(self._media, request.messages, self._kept)])
            if items:
                await self._writer.save([ItemRecorded(each) for each in items])

    async def _save_cost(self, request: Request, generation: Generation) -> None:
        """Keep what failed attempts cost under a key of its own: a later answer replaces the failure itself."""
        at = now()
        key = digest([request.key, self._run_id, at])
        await self._writer.save([GenerationRecorded(key, self._run_id, at, request, generation)])

    async def call_judge(self, model: ComposedModel, request: Request) -> Generation:
        with nullcontext() if self._watch is None else self._watch.asking_as("judge"):
            reply, is_new = await self._call(model, request)
        if is_new and not reply.failed:
            self._progress.judged += 1
        return reply
