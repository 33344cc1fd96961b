"""Replies that are cut, garbled, slow or far too large, through the retry layer: no hang, no wrong result."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from themis_core import ExecutionPolicySpec, Generation, Request
from themis_core.execution import Endpoint
from themis_core.testing.script import Call, Script
from themis_core.testing.server import ScriptedServer
from themis_costs import Budget
from themis_plugin_openai.engines import OpenAIChat

pytestmark = pytest.mark.usefixtures("carrier")
FULL = os.environ.get("THEMIS_CHAOS") == "full"
MB = 2**20
REPLY = {
    "id": "r",
    "choices": [{"message": {"role": "assistant", "content": "the answer, " * 4}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}
TEXT = "the answer, " * 4


class Client:
    """An engine behind its endpoint, as a run has them."""

    def __init__(self, server: ScriptedServer, most_bytes: int = 32 * MB, **policy: Any) -> None:
        settings = {"backoff_base_s": 0.001, "backoff_max_s": 0.002, "breaker_failures": 100_000, **policy}
        self.policy = ExecutionPolicySpec.model_validate(settings)
        self.engine = OpenAIChat(base_url=server.base_url, api_key_env=None, max_reply_bytes=most_bytes)

    def live(self, story: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
        async def life() -> Any:
            self.endpoint = Endpoint("here", self.policy, asyncio.Semaphore(1_000), Budget(self.policy))
            await self.engine.start()
            try:
                return await story(self)
            finally:
                await self.engine.stop()

        result = asyncio.run(life())
        gc.collect()  # a connection left open warns now
        return result

    def ask(self, count: int) -> list[Generation]:
        """Ask so many questions at once."""

        async def story(client: Client) -> list[Generation]:
            return await asyncio.gather(*(client.one(number) for number in range(count)))

        answers: list[Generation] = self.live(story)
        return answers

    async def one(self, number: int, text: str = "question") -> Generation:
        asked = Request("m", [{"role": "user", "content": f"{text} {number}"}], item_id=str(number))
        return await self.endpoint.call(self.engine, asked, None)


def response(fault: dict[str, Any]) -> bytes:
    """The bytes that the server would send."""
    call = Call(1, "/v1/chat/completions", {}, {}, "")
    return b"".join(piece for _, piece in Script({"faults": [fault]}).reply(call).pieces)


FRAMINGS: dict[str, dict[str, Any]] = {
    "length": {},
    "chunked": {"chunked": True},
    "gzip": {"gzip": True},
    "until the end": {"headers": {"Content-Length": None}, "ending": "close"},
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_reply_cut_at_any_byte_is_asked_again_and_never_a_result(
    framing: str, server: ScriptedServer, full: bool, figures: dict[str, Any]
) -> None:
    fault = {"body": REPLY, **FRAMINGS[framing]}
    size = len(response(fault))
    ends = range(0, size, 1 if full else 7)
    # Ordinal by ordinal: the first reply to each question is cut, one byte later each time, the second is whole.
    faults = [{**fault, "at": 2 * index + 1, "cut": end} for index, end in enumerate(ends)]
    server.reset({"faults": [*faults, fault]})
    figures |= {"framing": framing, "cuts": len(ends)}
    answers = Client(server).live(lambda client: _in_turn(client, len(ends)))
    expected = ("answered", TEXT, 2)
    assert [(each.status, each.text, each.attempts) for each in answers] == [expected] * len(ends)


GARBLED: list[dict[str, Any]] = [
    {"cut": 0},
    {"cut": 0, "ending": "abort"},
    {"cut": -5, "ending": "abort"},
    {"raw": "220 smtp ready\r\n"},
    {"raw": "HTTP/1.1 abc OK\r\n\r\n"},
    {"raw": "HTTP/9.9 200 OK\r\n\r\n"},
    {"raw": "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"},
    {"raw": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"},
    {"raw": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"},
    {"raw": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"},
    {"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}"},
    {"raw": "HTTP/1.1 200 OK\r\nX: " + "a" * 100_000 + "\r\n\r\n"},
    {"raw": "HTTP/1.1 200 OK\r\n" + "X: a\r\n" * 50_000 + "\r\n"},
    {"raw": "\0" * 1000},
    {"raw": "\r\n" * 1000},
    {"headers": {"Content-Encoding": "gzip"}},
    {"headers": {"Content-Encoding": "br"}},
    {"headers": {"Content-Encoding": "gzip, gzip"}},
    {"gzip": True, "body": {"base64": ""}, "headers": {"Content-Length": "7"}, "ending": "close"},
]


@pytest.mark.parametrize("fault", GARBLED, ids=range(len(GARBLED)))
def test_a_garbled_reply_is_asked_again(fault: dict[str, Any], server: ScriptedServer) -> None:
    server.reset({"faults": [{"first": 1, **fault}]})
    (answer,) = Client(server).ask(1)
    assert (answer.status, answer.text, answer.attempts) == ("answered", "question 0", 2)


def test_a_whole_reply_is_taken_at_once(server: ScriptedServer) -> None:
    # The control of the two tests above: what is neither cut nor garbled costs one attempt.
    server.reset({"faults": [{"body": REPLY, "chunk": 5}]})
    assert {(answer.text, answer.attempts) for answer in Client(server).ask(20)} == {(TEXT, 1)}


DRIPPING: dict[str, dict[str, Any]] = {
    "a byte at a time": {"chunk": 1, "pause_s": 0.02},
    "no head": {"cut": 0, "ending": "stall"},
    "half a head": {"cut": 20, "ending": "stall"},
    "no end": {"cut": -3, "ending": "stall"},
    "no answer": {"latency_s": 60},
    "chunks without end": {"chunked": True, "cut": -5, "ending": "stall"},
}


@pytest.mark.parametrize("way", DRIPPING)
def test_a_reply_that_drips_or_stalls_ends_at_the_deadline(
    way: str, server: ScriptedServer, full: bool, figures: dict[str, Any]
) -> None:
    count, limit = (40, 3.0) if full else (20, 0.5)
    server.reset({"faults": [{"first": count, "body": REPLY, **DRIPPING[way]}]})

    async def story(client: Client) -> list[tuple[Generation, float]]:
        async def timed(number: int) -> tuple[Generation, float]:
            begun = time.monotonic()
            return await client.one(number), time.monotonic() - begun

        return [*await asyncio.gather(*map(timed, range(count))), await timed(1)]

    *slow, (after, _) = Client(server, attempt_timeout_s=limit, max_retries=0, max_in_flight_work_items=count).live(
        story
    )
    took = [seconds for _, seconds in slow]
    figures |= {"way": way, "replies": count, "deadline": limit, "shortest": min(took), "longest": max(took)}
    error = f"no reply within {limit:g} s"
    late = Generation("failed", error_code="timeout", error=error, provider={"unknown_outcome": True})
    assert [generation for generation, _ in slow] == [late] * count
    assert min(took) >= limit * 0.999
    assert max(took) <= limit * (1.1 if full else 10)  # the short form runs on machines that have other things to do
    assert after.text == "question 1"


@pytest.mark.parametrize("way", DRIPPING)
def test_after_many_cancelled_requests_all_healthy_ones_succeed(
    way: str, server: ScriptedServer, full: bool, figures: dict[str, Any]
) -> None:
    rounds, width = (17, 100) if full else (1, 100)
    server.reset({"faults": [{"match": "cancelled", "body": REPLY, **DRIPPING[way]}]})
    figures |= {"way": way, "cancelled": rounds * width, "healthy": 200}

    async def story(client: Client) -> list[Generation]:
        for _ in range(rounds):
            tasks = [asyncio.create_task(client.one(number, "cancelled")) for number in range(width)]
            for index, task in enumerate(tasks):
                await asyncio.sleep(0.001)  # so that they are cancelled in all stages of their lives
                task.cancel() if index % 2 else tasks[index // 2].cancel()
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(each) for each in done} == {asyncio.CancelledError}
        return await asyncio.gather(*(client.one(number) for number in range(200)))

    # pyreqwest can't take a request back: one that was cancelled goes on until its deadline, and no longer.
    answers = Client(server, max_in_flight_work_items=width, attempt_timeout_s=10).live(story)
    assert [answer.text for answer in answers] == [f"question {number}" for number in range(200)]
    assert none_under_way(server)


def none_under_way(server: ScriptedServer) -> bool:
    """Whether no request that nobody waits for is left at the server, once its deadline has passed."""
    for _ in range(200):
        server.reset()
        if server.peak <= 1:  # which is the question itself
            return True
        time.sleep(0.1)
    return False


CAP = 8 * MB
DEEP = 7 * MB

LARGE: dict[str, dict[str, Any]] = {
    "with its length": {"body": {"repeat": "a", "times": 300 * MB}},
    "chunked": {"body": {"repeat": "a", "times": 300 * MB}, "chunked": True},
    "until the end": {"body": {"repeat": "a", "times": 300 * MB}, "headers": {"Content-Length": None}},
    "bomb": {"body": {"repeat": "a", "times": 300 * MB}, "gzip": True},
    "chunked bomb": {"body": {"repeat": "\0", "times": 300 * MB}, "gzip": True, "chunked": True},
    "bomb of brackets": {"body": {"repeat": "[", "times": 300 * MB}, "gzip": True},
}
MALICIOUS: dict[str, dict[str, Any]] = {
    "deep lists": {"body": {"repeat": "[", "times": DEEP}},
    "deep objects": {"body": {"repeat": '{"a":', "times": DEEP // 5}},
    "deep in a reply": {"body": '{"choices":[{"message":{"content":' + "[" * 200_000},
    "a long number": {"body": {"repeat": "7", "times": DEEP}},
    "packed deep lists": {"body": {"repeat": "[", "times": DEEP}, "gzip": True},
    "no text at all": {"body": {"repeat": "\0", "times": DEEP}},
}
SHORT = ["chunked", "bomb", "deep lists", "deep in a reply", "a long number"]


@pytest.mark.parametrize("kind", [*LARGE, *MALICIOUS] if FULL else SHORT)
def test_a_reply_that_is_meant_to_fill_the_memory_is_a_typed_error(
    kind: str, server: ScriptedServer, figures: dict[str, Any]
) -> None:
    server.reset({"faults": [{"first": 1, **(LARGE.get(kind) or MALICIOUS[kind])}]})
    (failed, answered), peak = grown_by(Client(server, most_bytes=CAP, max_retries=0))
    figures |= {"kind": kind, "cap": CAP, "peak": round(peak / CAP, 2)}
    assert failed.status == "failed"
    assert failed.error_code == ("reply_too_large" if kind in LARGE else "invalid_reply")
    assert answered.text == "question 1"
    assert peak <= 2 * CAP


def test_without_a_cap_the_memory_would_grow(server: ScriptedServer) -> None:
    server.reset({"faults": [{"first": 1, "body": {"repeat": "a", "times": 40 * MB}, "gzip": True}]})
    (failed, _), peak = grown_by(Client(server, most_bytes=100 * MB, max_retries=0))
    assert failed.error_code == "invalid_reply"
    assert peak > 2 * CAP


def grown_by(client: Client) -> tuple[list[Generation], int]:
    """Ask two questions, one after the other; return the answers and by how many bytes the memory grew at most."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        answers = client.live(lambda client: _in_turn(client, 2))
        return answers, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


async def _in_turn(client: Client, count: int) -> list[Generation]:
    return [await client.one(number) for number in range(count)]


def test_a_reply_beneath_the_cap_is_taken_whole(server: ScriptedServer) -> None:
    server.reset({"answers": {"rule": "constant", "output": "a" * (CAP - 1_000)}})
    (answer,) = Client(server, most_bytes=CAP).ask(1)
    assert answer.text == "a" * (CAP - 1_000)
