"""Message batches: what is handed in, found again, collected; and whole runs that are asked by them."""

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
from themis_plugin_anthropic.engine import AnthropicMessages

T = TypeVar("T")
NONCE = f"themis-{datetime.now(UTC):%Y%m%d%H%M%S}-0123456789abcdef"
OTHER = NONCE[:-16] + "fedcba9876543210"


def asked(*prompts: str) -> list[Request]:
    return [
        Request(
            "m", [{"role": "user", "content": each}], {"max_tokens": 9}, key=hashlib.sha256(each.encode()).hexdigest()
        )
        for each in prompts
    ]


def started(server: ScriptedServer, work: Callable[[AnthropicMessages], Awaitable[T]]) -> T:
    async def life() -> T:
        engine = AnthropicMessages(base_url=server.origin)
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

    async def story(engine: AnthropicMessages) -> tuple[Ticket, BatchState, dict[str, Any]]:
        ticket = await engine.submit(NONCE, [good, bad])
        state = await engine.collect(ticket)
        return ticket, state, await replies(state)

    ticket, state, said = started(server, story)
    assert (ticket.id, state.status, state.done, state.failed, state.total) == ("msgbatch_1", "ended", 1, 1, 2)
    answer, failure = said[good.key[:40]], said[bad.key[:40]]
    assert isinstance(answer, Generation)
    assert (answer.text, answer.latency_s, answer.finish_reason) == ("good", None, "end_turn")
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("rate_limited", True)
    (made,) = server.batches()
    assert made["custom_ids"] == [f"0123456789abcdef-{each.key[:40]}" for each in (good, bad)]


@pytest.mark.parametrize(("end", "answered"), [("expired", 1), ("cancelled", 1), ("expired", 0)])
def test_what_nobody_worked_on_has_no_reply(end: str, answered: int, server: ScriptedServer) -> None:
    server.reset({"batches": {"ends": [end], "answered": answered}})

    async def story(engine: AnthropicMessages) -> tuple[BatchState, dict[str, Any]]:
        state = await engine.collect(await engine.submit(NONCE, asked("a", "b", "c")))
        return state, await replies(state)

    state, said = started(server, story)
    assert (state.status, state.done, state.total, len(said)) == (end, answered, 3, answered)


def test_one_that_is_worked_on_is_running_until_it_is_cancelled(server: ScriptedServer) -> None:
    server.reset({"batches": {"takes_s": 60, "answered": 0}})

    async def story(engine: AnthropicMessages) -> list[str]:
        ticket = await engine.submit(NONCE, asked("a"))
        before = await engine.collect(ticket)
        await engine.cancel(ticket)
        return [before.status, (await engine.collect(ticket)).status]

    assert started(server, story) == ["running", "cancelled"]


def test_a_batch_is_found_by_its_nonce_and_no_other_is_taken_for_it(server: ScriptedServer) -> None:
    async def story(engine: AnthropicMessages) -> list[Any]:
        none = await engine.find(NONCE)
        tickets = [await engine.submit(nonce, asked("a", "b")) for nonce in (OTHER, NONCE, OTHER[:-1] + "1")]
        return [none, tickets[1] == await engine.find(NONCE), await engine.find(NONCE[:-1] + "0")]

    assert started(server, story) == [None, True, None]


def test_one_that_is_worked_on_may_be_it_so_the_run_asks_again(server: ScriptedServer) -> None:
    server.reset({"batches": {"takes_s": 60}})

    async def story(engine: AnthropicMessages) -> None:
        await engine.submit(OTHER, asked("a"))
        await engine.find(NONCE)

    with pytest.raises(EngineError, match="msgbatch_1 is the one") as caught:
        started(server, story)
    assert caught.value.retryable


def test_batches_from_before_are_not_looked_at(server: ScriptedServer) -> None:
    server.reset({"batches": {"takes_s": 60}})
    later = "themis-29990101000000-0123456789abcdef"

    async def story(engine: AnthropicMessages) -> Ticket | None:
        await engine.submit(NONCE, asked("a"))
        return await engine.find(later)

    assert started(server, story) is None


def test_a_list_of_many_pages_is_gone_through(server: ScriptedServer) -> None:
    async def story(engine: AnthropicMessages) -> bool:
        first = await engine.submit(NONCE, asked("a"))
        for _ in range(101):
            await engine.submit(OTHER, asked("a"))
        return await engine.find(NONCE) == first

    assert started(server, story)


def test_a_creation_that_a_gateway_lost_may_have_been_made(server: ScriptedServer) -> None:
    server.reset({"batches": {"dropped": 1}})

    async def story(engine: AnthropicMessages) -> Ticket | None:
        with pytest.raises(EngineError) as caught:
            await engine.submit(NONCE, asked("a"))
        assert caught.value.unknown_outcome
        return await engine.find(NONCE)

    assert started(server, story) == Ticket("msgbatch_1")


def test_a_run_is_asked_by_batches_at_their_price(server: ScriptedServer, tmp_path: Path) -> None:
    model = {
        "model_id": "m",
        "provider": "anthropic/messages",
        "extras": {"base_url": server.origin},
        "price": {"input_per_million": 1000, "output_per_million": 1000, "batch": 0.5},
    }
    rows = [{"id": f"i{number}", "q": f"say {number}", "a": f"say {number}"} for number in range(5)]
    spec = {
        "project": {"execution_policy": {"batches": {"models": ["m"], "grace_s": 0.1, "poll_s": 0.05}}},
        "benchmark": {
            "benchmark_id": "b",
            "models": [model],
            "inference_grid": {"params": [{"max_tokens": 8}]},
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
    assert all(each.path.startswith("/v1/messages/batches") for each in server.requests())
    again = themis.run(path)
    assert (again.scores[0].value, len(server.batches())) == (1.0, 1)
