"""OpenAI's batches: the suite, what is sent, and what its files and failures mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from themis_core import BatchReply, BatchState, Engine, EngineError, Generation, Request, Ticket, digest
from themis_core.testing.batch_engine import NONCE, BatchEngineSuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat, OpenAICompletions


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def batches(shared_server: ScriptedServer) -> ScriptedServer:
    shared_server.reset({})
    return shared_server


def asked(count: int = 3) -> list[Request]:
    return [
        Request("m", [{"role": "user", "content": f"say {number}"}], {"max_tokens": 5}, str(number), key=digest(number))
        for number in range(count)
    ]


class TestChat(BatchEngineSuite):
    kind: type[Engine] = OpenAIChat

    @pytest.fixture
    def engine(self, batches: ScriptedServer) -> Engine:
        return self.kind(base_url=batches.base_url, api_key_env=None)  # type: ignore[call-arg]

    @pytest.fixture
    def requests(self) -> list[Request]:
        return asked()


class TestCompletions(TestChat):
    kind = OpenAICompletions


def story(server: ScriptedServer, count: int = 3) -> tuple[BatchState, dict[str, Generation | EngineError]]:
    """What comes of one batch."""

    async def life() -> tuple[BatchState, list[BatchReply]]:
        engine = OpenAIChat(base_url=server.base_url, api_key_env=None)
        await engine.start()
        try:
            state = await engine.collect(await engine.submit(NONCE, asked(count)))
            return state, [each async for each in state.replies or empty()]
        finally:
            await engine.stop()

    state, replies = asyncio.run(life())
    names = {digest(number): f"say {number}" for number in range(count)}
    return state, {names[each.key]: each.result for each in replies}


async def empty() -> Any:
    for each in ():
        yield each


def test_the_batch_is_made_of_a_file_and_carries_the_nonce(batches: ScriptedServer) -> None:
    state, replies = story(batches)
    assert (state.status, state.done, state.failed, state.total) == ("ended", 3, 0, 3)
    assert {name: each.text for name, each in replies.items() if isinstance(each, Generation)} == {
        name: name for name in ("say 0", "say 1", "say 2")
    }
    (made,) = batches.batches()
    assert (made["endpoint"], made["completion_window"], made["metadata"]) == (
        "/v1/chat/completions", "24h", {"themis": NONCE},
    )  # fmt: skip
    assert made["custom_ids"] == [each.key for each in asked()]


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ({"status": 400, "error": {"message": "bad", "code": "invalid_value"}}, "bad_request", False),
        ({"status": 400, "error": {"message": "long", "code": "context_length_exceeded"}}, "context_length", False),
        ({"status": 400, "error": {"message": "no", "code": "content_filter"}}, "content_filter", False),
        ({"status": 404, "error": {"message": "no", "code": "model_not_found"}}, "not_found", False),
        ({"status": 429, "error": {"message": "slow", "code": "rate_limit_exceeded"}}, "rate_limited", True),
        ({"status": 500}, "server_error", True),
        ({"status": 503}, "overloaded", True),
    ],
)
def test_a_request_that_failed_has_the_code_that_it_has_in_a_call(
    batches: ScriptedServer, fault: dict[str, Any], code: str, retryable: bool
) -> None:
    batches.reset({"faults": [{"match": "say 1", **fault}]})
    state, replies = story(batches)
    assert (state.done, state.failed) == (2, 1)
    error = replies["say 1"]
    assert isinstance(error, EngineError)
    assert (error.code, error.retryable) == (code, retryable)


@pytest.mark.parametrize(("end", "status"), [("expired", "expired"), ("cancelled", "cancelled")])
def test_requests_that_nobody_worked_on_have_no_reply(batches: ScriptedServer, end: str, status: str) -> None:
    batches.reset({"batches": {"ends": [end], "answered": 1}})
    state, replies = story(batches)
    assert (state.status, list(replies)) == (status, ["say 0"])


@pytest.mark.parametrize(
    ("errors", "code", "retryable", "told"),
    [
        ([{"code": "token_limit_exceeded", "message": "Enqueued token limit"}], "rate_limited", True, "Enqueued"),
        ([{"code": "billing_hard_limit_reached", "message": "Billing"}], "quota_exhausted", False, "Billing"),
        ([{"code": "invalid_json_line", "message": "not parseable", "line": 7}], "bad_request", False, "(line 7)"),
        ([], "bad_request", False, "gives no reason"),
    ],
)
def test_a_batch_that_failed_says_why(
    batches: ScriptedServer, errors: list[dict[str, Any]], code: str, retryable: bool, told: str
) -> None:
    batches.reset({"batches": {"ends": ["failed"], "errors": errors}})
    state, replies = story(batches)
    assert (state.status, replies) == ("failed", {})
    assert state.error is not None
    assert (state.error.code, state.error.retryable) == (code, retryable)
    assert told in state.error.message


def test_a_batch_is_found_on_a_later_page_of_the_list(batches: ScriptedServer) -> None:
    async def life() -> tuple[Ticket, Ticket | None, Ticket | None]:
        engine = OpenAIChat(base_url=batches.base_url, api_key_env=None)
        await engine.start()
        try:
            first = await engine.submit(NONCE, asked(1))
            for number in range(100):
                await engine.submit(f"themis-20260102030405-{number:016x}", asked(1))
            return first, await engine.find(NONCE), await engine.find("themis-20260102030405-ffffffffffffffff")
        finally:
            await engine.stop()

    first, found, other = asyncio.run(life())
    assert (found, other) == (first, None)
    lists = [each.path for each in batches.requests() if each.method == "GET"]
    assert lists[0] == "/v1/batches?limit=100"
    assert len(lists) == 4


def test_the_lines_are_those_of_openai(batches: ScriptedServer) -> None:
    engine = OpenAIChat(base_url=batches.base_url, api_key_env=None)
    line = json.loads(engine._line(asked(1)[0]))
    assert line == {
        "custom_id": digest(0),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "say 0"}], "max_tokens": 5},
    }
