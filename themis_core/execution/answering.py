"""Second stage of a trial: its answer, stored, from another trial or run, or by a call that is paid for once.

The requests of judges take the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, NamedTuple

from themis_core.execution.claims import Claims
from themis_core.execution.endpoint import Endpoint, Stopped
from themis_core.execution.progress import Progress, now
from themis_core.execution.sharing import Sharing
from themis_core.execution.watching import RequestWatch
from themis_core.execution.work import Work
from themis_core.execution.writer import Writer
from themis_core.planning import Media, MediaChanged
from themis_core.plugins import ComposedModel, Scorer
from themis_core.records import (
    HANDED_BACK,
    Event,
    Generation,
    GenerationRecorded,
    ItemRecorded,
    Request,
    RunCost,
)
from themis_core.specs import digest

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
        called = False
        keys: list[str] = []
        said: list[dict[str, Any]] = []
        generation = Generation("empty")
        for turn, request in enumerate(trial.requests):
            whole = replace(request, messages=[*said, *request.messages]) if said else request
            keys.append(request.key)
            stored = work.generations.get(request.key) or work.together.get(request.key)
            if stored is None and request.key not in work.owned:
                stored = await self._claims.elsewhere(request.key, work.owned)
            if stored is not None:
                generation = stored
            else:
                generation, is_new = await self._call(trial.model, whole)
                called |= is_new
                event = GenerationRecorded(request.key, self._run_id, now(), whole, generation)
                if turn + 1 < len(trial.requests):
                    await self._writer.save([event])  # paid for: safe before the next turn is
                    self._claims.settle(request.key, generation)
                else:
                    events.append(event)
                    work.together[request.key] = generation
            if generation.status not in ("answered", "truncated"):
                break
            said = [*whole.messages, _as_said(generation)]
        return Answered(generation, keys, called, events)

    async def baseline(self, work: Work, scorer: Scorer) -> Generation | None:
        """What the judge compares with: the answer of another model to the same, called for here if need be."""
        baseline = work.trial.baseline_of(scorer)
        if baseline is None:
            return None
        key = baseline.requests[-1].key
        if key in work.baselines:
            return work.baselines[key]
        trial = replace(work.trial, model=baseline.model, requests=baseline.requests, baselines=())
        generation, keys, _, unsaved = await self.answer(replace(work, trial=trial))
        if unsaved:  # paid for, and judges of other trials may wait for it
            await self._writer.save(unsaved)
        if keys[-1] in work.owned:
            self._claims.settle(keys[-1], generation)
        if generation.failed:
            generation = replace(generation, error=f"the baseline {baseline.model.spec.model_id}: {generation.error}")
        work.baselines[key] = generation
        return generation

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
            items = await asyncio.to_thread(lambda: [*self._media.items(request.messages, self._kept)])
            if items:
                await self._writer.save([ItemRecorded(each) for each in items])

    async def _save_cost(self, request: Request, generation: Generation) -> None:
        """Keep what failed attempts cost under a key of its own: a later answer replaces the failure itself."""
        at = now()
        key = digest([request.key, self._run_id, at])
        await self._writer.save([GenerationRecorded(key, self._run_id, at, request, generation)])

    async def call_judge(self, model: ComposedModel, request: Request) -> Generation:
        with nullcontext() if self._watch is None else self._watch.judging():
            reply, is_new = await self._call(model, request)
        if is_new and not reply.failed:
            self._progress.judged += 1
        return reply


def _as_said(generation: Generation) -> dict[str, Any]:
    """The answer as a message of the history, with the tool calls that the next turn may refer to, and what its engine
    wants to see again."""
    message: dict[str, Any] = {"role": "assistant", "content": generation.text}
    if generation.tool_calls:
        message["tool_calls"] = list(generation.tool_calls)
    if HANDED_BACK in generation.provider:
        message[HANDED_BACK] = generation.provider[HANDED_BACK]
    return message
