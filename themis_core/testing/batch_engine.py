"""What every engine that takes batches has to do, as tests to inherit from, beside `EngineSuite`.

    class TestMyBatches(BatchEngineSuite):
        @pytest.fixture
        def engine(self) -> Engine: ...

        @pytest.fixture
        def requests(self) -> list[Request]: ...

The provider must be one whose batches are over within seconds.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from themis_core.components import BATCH_KEY_LENGTH, BatchReply, BatchState, Engine
from themis_core.errors import EngineError
from themis_core.records import ERROR_CODES, Generation, Request, Ticket
from themis_core.specs import canonical_json

__all__ = ["BatchEngineSuite"]

T = TypeVar("T")
NONCE = "themis-20260102030405-0123456789abcdef"
OTHER = "themis-20260102030405-fedcba9876543210"
LOOKS = 100


class BatchEngineSuite:
    """Inherit, name the class `Test...`, and override the fixtures `engine` and `requests`."""

    @pytest.fixture
    def engine(self) -> Engine:
        """A new engine that is ready to be checked and started; its provider has no batches yet."""
        raise NotImplementedError("override the fixture `engine`")

    @pytest.fixture
    def requests(self) -> list[Request]:
        """Three requests or more of one model, all of which are answered, each with a key of 64 characters."""
        raise NotImplementedError("override the fixture `requests`")

    @pytest.fixture
    def base_dir(self, tmp_path: Path) -> Path:
        """The folder that relative paths of the config start from."""
        return tmp_path

    def test_it_says_that_it_takes_batches_and_how_large_they_may_be(self, engine: Engine) -> None:
        assert engine.capabilities.batches, "`capabilities` must say batches=True"
        assert engine.batch_limits.max_requests > 0
        assert engine.batch_limits.max_bytes > 0

    def test_every_request_of_a_batch_gets_its_own_reply(
        self, engine: Engine, requests: list[Request], base_dir: Path
    ) -> None:
        before = copy.deepcopy(requests)

        async def story() -> tuple[BatchState, list[BatchReply]]:
            return await _collected(engine, await engine.submit(NONCE, requests))

        state, replies = _run(engine, base_dir, story)
        assert requests == before, "requests belong to the run: copy what you change"
        assert state.status == "ended"
        answers = {reply.key[:BATCH_KEY_LENGTH]: reply.result for reply in replies}
        assert sorted(answers) == sorted(each.key[:BATCH_KEY_LENGTH] for each in requests)
        assert all(isinstance(each, Generation) for each in answers.values()), answers
        assert len(replies) == len(requests), "one reply for each request"

    def test_a_ticket_survives_storage_and_collects_as_often_as_wanted(
        self, engine: Engine, requests: list[Request], base_dir: Path
    ) -> None:
        async def story() -> list[set[str]]:
            ticket = await engine.submit(NONCE, requests)
            stored = json.loads(canonical_json({"id": ticket.id, "details": ticket.details}))
            again = Ticket(**stored)
            assert again == ticket, "what a ticket holds must be plain JSON data"
            return [{each.key for each in (await _collected(engine, again))[1]} for _ in range(2)]

        first, second = _run(engine, base_dir, story)
        assert first == second, "a run that was killed reads the replies again from their beginning"

    def test_a_batch_is_found_by_its_nonce_and_another_is_not(
        self, engine: Engine, requests: list[Request], base_dir: Path
    ) -> None:
        async def story() -> tuple[Ticket, Ticket | None, Ticket | None]:
            ticket = await engine.submit(NONCE, requests)
            await _collected(engine, ticket)  # some providers tell it only then
            return ticket, await engine.find(NONCE), await engine.find(OTHER)

        ticket, found, other = _run(engine, base_dir, story)
        assert found is not None, "`find` must find what `submit` made"
        assert found.id == ticket.id
        assert other is None, "a batch with another nonce is another run's"

    def test_a_ticket_of_no_batch_is_an_engine_error_with_a_stable_code(self, engine: Engine, base_dir: Path) -> None:
        async def story() -> EngineError:
            with pytest.raises(EngineError) as caught:
                await engine.collect(Ticket("no-such-batch"))
            return caught.value

        assert _run(engine, base_dir, story).code in ERROR_CODES

    def test_a_cancelled_batch_comes_to_its_end(self, engine: Engine, requests: list[Request], base_dir: Path) -> None:
        async def story() -> BatchState:
            ticket = await engine.submit(NONCE, requests)
            await engine.cancel(ticket)
            return (await _collected(engine, ticket))[0]

        assert _run(engine, base_dir, story).status in ("cancelled", "ended")


async def _collected(engine: Engine, ticket: Ticket) -> tuple[BatchState, list[BatchReply]]:
    for _ in range(LOOKS):
        state = await engine.collect(ticket)
        if state.status != "running":
            replies = [] if state.replies is None else [each async for each in state.replies]
            return state, replies
        await asyncio.sleep(0.1)
    raise AssertionError(f"the batch was still running after {LOOKS} looks")


def _run(engine: Engine, base_dir: Path, work: Callable[[], Awaitable[T]]) -> T:
    """Go through an engine's life as a run does, `work` in the middle."""

    async def life() -> T:
        await engine.start()
        try:
            return await work()
        finally:
            await engine.stop()

    engine.check(base_dir)
    return asyncio.run(life())
