"""Asks judging models about one answer; every request is called, limited, stored and reused as any other.

It knows neither trials nor the engines' calls: the run hands it what is judged and how to call.

    questions = judge.requests ─ per judging model, question and repeat: stored? else call and save
                                 ─ judge.again? asked once more ─ judge.score

A reply is saved before the next request goes out. The last one may be saved with the score that is read in it, if
nothing is waited for in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from themis_core.components import JudgedAnswer, JudgeReply, JudgeRequest
from themis_core.execution.lanes import Lanes
from themis_core.execution.returned import as_question, as_questions
from themis_core.execution.scoring import accepted, asking
from themis_core.execution.writer import Writer
from themis_core.plugins import ComposedModel, JudgingModel, Scorer, is_quick
from themis_core.records import Event, Generation, GenerationRecorded, Request, Score
from themis_core.specs import digest
from themis_plain import canonical_json

__all__ = ["JUDGED_BY", "Asking", "Judging"]

NO_REPLY = Generation("empty")
JUDGED_BY = "judged_by"
"""In the details of a judge's score: the generation keys of its replies, for runs that find the score stored."""


class Asking:
    """What judging models are asked. What is the same for all questions with equal settings is worked out once."""

    def __init__(self) -> None:
        self._settings: dict[tuple[int, str], _Settings] = {}

    def request(self, judging: JudgingModel, asked: JudgeRequest, item_id: str, repeat: int) -> Request:
        """What is sent: the spec's settings under the judge's own. Equal questions have equal keys.

        Repeat 0 has the seed that is given. Further ones derive theirs, if the engine takes seeds, so that a fixed
        seed does not make all repeats alike.
        """
        known = id(judging), canonical_json(asked.params) if asked.params else ""
        settings = self._settings.get(known)
        if settings is None:
            settings = self._settings[known] = _Settings.of(judging, asked)
        head = digest([settings.identity, settings.params, asked.messages, item_id])
        seed = settings.seed
        if repeat and settings.derives_seeds:
            seed = int(digest([head, "seed", repeat])[:8], 16) >> 1
        key = digest([head, repeat])
        return Request(judging.model.spec.sent, asked.messages, settings.params, item_id, repeat, seed, key)


class _Settings(NamedTuple):
    """What one judging model is sent with all questions that ask for the same settings."""

    judging: JudgingModel
    """Held, so that no other gets its id."""
    identity: dict[str, Any]
    params: dict[str, Any]
    seed: int | None
    derives_seeds: bool

    @classmethod
    def of(cls, judging: JudgingModel, asked: JudgeRequest) -> _Settings:
        own = judging.model.spec.params
        params = own.applied({**judging.params.given(), **asked.params})
        derives_seeds = judging.model.engine.capabilities.seed and "seed" not in own.leave_out
        return cls(judging, judging.model.identity(), params, params.get("seed"), derives_seeds)


class _StoredReplies:
    """Looks up replies; those that are wanted at one moment are looked up together."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._keys: list[str] = []
        self._found: asyncio.Task[Mapping[str, Generation]] | None = None

    async def get(self, key: str) -> Generation | None:
        self._keys.append(key)
        if self._found is None:
            self._found = asyncio.create_task(self._look())
        return (await asyncio.shield(self._found)).get(key)

    async def _look(self) -> Mapping[str, Generation]:
        keys, self._keys, self._found = self._keys, [], None
        return await self._writer.read(lambda store: store.generations(keys))


@dataclass(slots=True)
class _Case:
    """One answer while it is judged."""

    scorer: Scorer
    judged: JudgedAnswer
    unsaved: list[Event]
    keys: list[str] = field(default_factory=list)
    """Generation keys of the replies so far."""

    @property
    def is_quick(self) -> bool:
        """Whether the judge reads a reply without waiting for anything."""
        return is_quick(self.scorer.scoring, "again") and is_quick(self.scorer.scoring, "score")


class Judging:
    """The judges' calls of one execution. `call` sends one request, with limits and retries."""

    def __init__(
        self, writer: Writer, call: Callable[[ComposedModel, Request], Awaitable[Generation]], run_id: str,
        now: Callable[[], str], lanes: Lanes,
    ) -> None:  # fmt: skip
        self._lanes = lanes
        self._writer = writer
        self._call = call
        self._run_id = run_id
        self._now = now
        self._asking = Asking()
        self._stored = _StoredReplies(writer)
        self._pending: dict[str, asyncio.Future[Generation | None]] = {}

    async def score(
        self, scorer: Scorer, judged: JudgedAnswer, unsaved: list[Event]
    ) -> tuple[Score, tuple[str, ...]] | Generation:
        """One score with the keys of the replies that it rests on; or a failed generation, if one was not to be had.

        The caller saves what is `unsaved` then before it waits for anything: the last reply, if the judge is quick.
        """
        case = _Case(scorer, judged, unsaved)
        questions = await self._lanes.do(asking(scorer, "requests", as_questions, judged=judged))
        if isinstance(questions, Score):
            return questions, ()
        replies = []
        for judging in scorer.judges or ():
            for number, question in enumerate(questions):
                for repeat in range(judging.repeats):
                    asked = JudgeReply(judging.model.spec.model_id, number, repeat, question, NO_REPLY)
                    reply = await self._reply(case, judging, asked)
                    if isinstance(reply, Generation):
                        return reply
                    if isinstance(reply, Score):
                        return reply, tuple(case.keys)
                    replies.append(reply)
        accept = partial(accepted, scorer)
        score = await self._lanes.do(asking(scorer, "score", accept, judged=judged, replies=replies))
        if case.keys:
            score = replace(score, details={**score.details, JUDGED_BY: case.keys})
        return score, tuple(case.keys)

    async def save(self, unsaved: list[Event]) -> None:
        """Save replies that are not saved yet."""
        if unsaved:
            await self._writer.save([*unsaved])
            unsaved.clear()

    async def _reply(self, case: _Case, judging: JudgingModel, asked: JudgeReply) -> JudgeReply | Generation | Score:
        """The reply to one question, asked once more if the judge wants it; or what came instead of a reply."""
        while True:
            await self.save(case.unsaved)
            request = self._asking.request(judging, asked.request, case.judged.item.id, asked.repeat)
            generation = await self._stored_or_called(judging.model, request, case.unsaved)
            if generation.failed:
                return generation
            if not case.is_quick:
                await self.save(case.unsaved)
            case.keys.append(request.key)
            reply = replace(asked, generation=generation)
            if asked.asked_again:
                return reply
            again = await self._lanes.do(asking(case.scorer, "again", _asked_again, judged=case.judged, reply=reply))
            if isinstance(again, Score):
                return again
            if again is None:
                return reply
            asked = replace(asked, request=again, asked_again=True)

    async def _stored_or_called(self, model: ComposedModel, request: Request, unsaved: list[Event]) -> Generation:
        """A judge's reply; if it was called for, it is paid for, and joins what is to be saved."""
        while (future := self._pending.get(request.key)) is not None:
            if (reply := await asyncio.shield(future)) is not None:
                return reply
        self._pending[request.key] = future = asyncio.get_running_loop().create_future()
        try:
            reply = await self._stored.get(request.key)
            if reply is None:
                reply = await self._call(model, request)
                unsaved.append(GenerationRecorded(request.key, self._run_id, self._now(), request, reply))
            # Who waits for it goes on after what is done here, so what rests on it is saved after it.
            future.set_result(reply)
            return reply
        finally:
            self._pending.pop(request.key, None)
            if not future.done():
                future.set_result(None)  # whoever waits asks for itself, or finds that the run has ended


def _asked_again(returned: Any) -> JudgeRequest | None:
    return None if returned is None else as_question(returned)
