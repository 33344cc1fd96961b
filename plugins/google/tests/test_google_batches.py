"""Batches of Gemini: what is handed in, found again, collected; and whole runs that are asked by them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

import themis_core as themis
from themis_core import BatchState, EngineError, Generation, Request, Ticket
from themis_core.testing.server import ScriptedServer
from themis_plugin_google.engine import GoogleGemini

T = TypeVar("T")
NONCE = f"themis-{datetime.now(UTC):%Y%m%d%H%M%S}-0123456789abcdef"
OTHER = NONCE[:-16] + "fedcba9876543210"


def asked(*prompts: str) -> list[Request]:
    return [
        Request("m", [{"role": "user", "content": each}], {"seed": 1}, key=hashlib.sha256(each.encode()).hexdigest())
        for each in prompts
    ]


def started(server: ScriptedServer, work: Callable[[GoogleGemini], Awaitable[T]]) -> T:
    async def life() -> T:
        engine = GoogleGemini(base_url=f"{server.origin}/v1beta")
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.stop()

    return asyncio.run(life())


async def replies(state: BatchState) -> dict[str, Generation | EngineError]:
    assert state.replies is not None
    return {each.key: each.result async for each in state.replies}


def test_a_batch_is_handed_in_and_collected(server: ScriptedServer) -> None:
    server.reset({"faults": [{"match": "bad", "status": 429}]})
    good, bad = asked("good", "bad")

    async def story(engine: GoogleGemini) -> tuple[Ticket, BatchState, dict[str, Any]]:
        ticket = await engine.submit(NONCE, [good, bad])
        state = await engine.collect(ticket)
        return ticket, state, await replies(state)

    ticket, state, said = started(server, story)
    assert (ticket.id, state.status, state.done, state.failed, state.total) == ("batches/b1", "ended", 1, 1, 2)
    answer, failure = said[good.key], said[bad.key]
    assert isinstance(answer, Generation)
    assert (answer.text, answer.latency_s, answer.finish_reason) == ("good", None, "STOP")
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("rate_limited", True)
    assert [(each.method, each.path) for each in server.requests()] == [
        ("POST", "/v1beta/models/m:batchGenerateContent"),
        ("GET", "/v1beta/batches/b1"),
    ]


@pytest.mark.parametrize(("end", "answered"), [("expired", 1), ("cancelled", 1), ("expired", 0)])
def test_what_nobody_worked_on_has_no_reply(end: str, answered: int, server: ScriptedServer) -> None:
    server.reset({"batches": {"ends": [end], "answered": answered}})

    async def story(engine: GoogleGemini) -> tuple[BatchState, dict[str, Any]]:
        state = await engine.collect(await engine.submit(NONCE, asked("a", "b", "c")))
        return state, await replies(state)

    state, said = started(server, story)
    assert (state.status, state.done, state.total, len(said)) == (end, answered, 3, answered)


@pytest.mark.parametrize(
    ("error", "code", "again"),
    [
        ({"code": 8, "message": "Enqueued tokens exceed the limit."}, "rate_limited", True),
        ({"code": 3, "message": "Request 1 is malformed."}, "bad_request", False),
        ({"code": 13, "message": "An internal error occurred."}, "server_error", True),
        ({"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid."}, "unauthorized", False),
    ],
)
def test_one_that_failed_as_a_whole_says_why(
    error: dict[str, Any], code: str, again: bool, server: ScriptedServer
) -> None:
    server.reset({"batches": {"ends": ["failed"], "errors": [error]}})

    async def story(engine: GoogleGemini) -> tuple[BatchState, dict[str, Any]]:
        state = await engine.collect(await engine.submit(NONCE, asked("a")))
        return state, await replies(state)

    state, said = started(server, story)
    assert (state.status, said) == ("failed", {})
    assert state.error is not None
    assert (state.error.code, state.error.retryable) == (code, again)
    assert error["message"] in state.error.message


def test_one_that_is_worked_on_is_running_until_it_is_cancelled(server: ScriptedServer) -> None:
    server.reset({"batches": {"takes_s": 60, "answered": 0}})

    async def story(engine: GoogleGemini) -> list[str]:
        ticket = await engine.submit(NONCE, asked("a"))
        before = await engine.collect(ticket)
        await engine.cancel(ticket)
        return [before.status, (await engine.collect(ticket)).status]

    assert started(server, story) == ["running", "cancelled"]


def test_a_batch_is_found_by_its_name_on_any_page_whatever_it_is_doing(server: ScriptedServer) -> None:
    server.reset({"batches": {"takes_s": 60}})

    async def story(engine: GoogleGemini) -> list[Any]:
        none = await engine.find(NONCE)
        ticket = await engine.submit(NONCE, asked("a"))
        for _ in range(101):
            await engine.submit(OTHER, asked("a"))
        return [none, await engine.find(NONCE) == ticket]

    assert started(server, story) == [None, True]


def test_a_creation_that_a_gateway_lost_may_have_been_made(server: ScriptedServer) -> None:
    server.reset({"batches": {"dropped": 1}})

    async def story(engine: GoogleGemini) -> Ticket | None:
        with pytest.raises(EngineError) as caught:
            await engine.submit(NONCE, asked("a"))
        assert caught.value.unknown_outcome
        return await engine.find(NONCE)

    assert started(server, story) == Ticket("batches/b1")


def test_a_run_is_asked_by_batches(server: ScriptedServer, tmp_path: Path) -> None:
    rows = [{"id": f"i{number}", "q": f"say {number}", "a": f"say {number}"} for number in range(5)]
    extras = {"base_url": f"{server.origin}/v1beta"}
    spec = {
        "project": {"execution_policy": {"batches": {"models": ["m"], "grace_s": 0.1, "poll_s": 0.05}}},
        "benchmark": {
            "benchmark_id": "b",
            "models": [{"model_id": "m", "provider": "google/gemini", "extras": extras}],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/inline", "fields": {"reference": "a"}, "extras": {"rows": rows}},
                    "generation": {},
                    "scores": [{"name": "acc", "metrics": ["text/exact_match"]}],
                }
            ],
        },
    }
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    result = themis.run(path)
    assert [(row.value, row.n) for row in result.scores] == [(1.0, 5)]
    assert [len(each["custom_ids"]) for each in server.batches()] == [5]
    again = themis.run(path)
    assert (again.scores[0].value, len(server.batches())) == (1.0, 1)
