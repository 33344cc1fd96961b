"""Asks judging models about one answer; every request is called, limited, stored and reused as any other.

It knows neither trials nor the engines' calls: the run hands it what is judged and how to call.

    questions = judge.requests ─ per judging model, question and repeat: stored? else call and save
                                 ─ judge.again? asked once more ─ judge.score
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from themis_core.components import JudgedAnswer, JudgeReply, JudgeRequest
from themis_core.execution.lanes import Lanes
from themis_core.execution.returned import as_question
from themis_core.execution.scoring import accepted, asking
from themis_core.execution.writer import Writer
from themis_core.plugins import ComposedModel, JudgingModel, Scorer
from themis_core.records import Generation, GenerationRecorded, Request, Score
from themis_core.specs import digest

__all__ = ["JUDGED_BY", "Judging", "judge_request"]

JUDGED_BY = "judged_by"
"""In the details of a judge's score: the generation keys of its replies, for runs that find the score stored."""


def judge_request(judging: JudgingModel, asked: JudgeRequest, item_id: str, repeat: int) -> Request:
    """What is sent: the spec's settings under the judge's own. Equal questions have equal keys.

    Repeat 0 has the seed that is given. Further ones derive theirs, if the engine takes seeds, so that a fixed seed
    does not make all repeats alike.
    """
    own = judging.model.spec.params
    params = own.applied({**judging.params.given(), **asked.params})
    head = digest([judging.model.identity(), params, asked.messages, item_id])
    seed: int | None = params.get("seed")
    if repeat and judging.model.engine.capabilities.seed and "seed" not in own.leave_out:
        seed = int(digest([head, "seed", repeat])[:8], 16) >> 1
    key = digest([head, repeat])
    return Request(judging.model.spec.sent, asked.messages, params, item_id, repeat, seed, key)


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
        self._pending: dict[str, asyncio.Future[Generation | None]] = {}

    async def score(self, scorer: Scorer, judged: JudgedAnswer) -> tuple[Score, tuple[str, ...]] | Generation:
        """One score with the keys of the replies that it rests on; or a failed generation, if one was not to be had."""
        keys: list[str] = []
        questions = await self._lanes.do(asking(scorer, "requests", _questions, judged=judged))
        if isinstance(questions, Score):
            return questions, ()
        replies = []
        for judging in scorer.judges or ():
            for number, question in enumerate(questions):
                for repeat in range(judging.repeats):
                    reply = await self._reply(scorer, judged, judging, JudgeReply(
                        judging.model.spec.model_id, number, repeat, question, Generation("empty")
                    ), keys)  # fmt: skip
                    if isinstance(reply, Generation):
                        return reply
                    if isinstance(reply, Score):
                        return reply, tuple(keys)
                    replies.append(reply)
        accept = partial(accepted, scorer)
        score = await self._lanes.do(asking(scorer, "score", accept, judged=judged, replies=replies))
        if keys:
            score = replace(score, details={**score.details, JUDGED_BY: keys})
        return score, tuple(keys)

    async def _reply(
        self, scorer: Scorer, judged: JudgedAnswer, judging: JudgingModel, asked: JudgeReply, keys: list[str]
    ) -> JudgeReply | Generation | Score:
        """The reply to one question, asked once more if the judge wants it; or what came instead of a reply."""
        while True:
            request = judge_request(judging, asked.request, judged.item.id, asked.repeat)
            generation = await self._stored_or_called(judging.model, request)
            if generation.failed:
                return generation
            keys.append(request.key)
            reply = replace(asked, generation=generation)
            if asked.asked_again:
                return reply
            again = await self._lanes.do(asking(scorer, "again", _asked_again, judged=judged, reply=reply))
            if isinstance(again, Score):
                return again
            if again is None:
                return reply
            asked = replace(asked, request=again, asked_again=True)

    async def _stored_or_called(self, model: ComposedModel, request: Request) -> Generation:
        """A judge's reply, stored as soon as it is there: it is paid for."""
        while (future := self._pending.get(request.key)) is not None:
            if (reply := await asyncio.shield(future)) is not None:
                return reply
        self._pending[request.key] = future = asyncio.get_running_loop().create_future()
        try:
            stored = await self._writer.read(lambda store: store.generations([request.key]))
            reply = stored.get(request.key)
            if reply is None:
                reply = await self._call(model, request)
                await self._writer.save([GenerationRecorded(request.key, self._run_id, self._now(), request, reply)])
            future.set_result(reply)
            return reply
        finally:
            self._pending.pop(request.key, None)
            if not future.done():
                future.set_result(None)  # whoever waits asks for itself, or finds that the run has ended


def _questions(returned: Any) -> list[JudgeRequest]:
    return [as_question(each) for each in returned]


def _asked_again(returned: Any) -> JudgeRequest | None:
    return None if returned is None else as_question(returned)
