"""Files of JSON lines: read one by one, cut, wrong, long, with a key in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from pydantic import Field

from themis_core import EngineError, Generation, Request
from themis_core.testing.server import ScriptedServer
from themis_http import HttpEngine, first_json_line, json_lines

T = TypeVar("T")


class Plain(HttpEngine):
    """An engine that adds nothing to what each has to."""

    path = "/plain"
    api_key_env: str | None = Field("EXAMPLE_API_KEY", description="Key.")

    def body(self, request: Request) -> dict[str, Any]:
        return {}

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        return Generation("empty")


@pytest.fixture(params=["pyreqwest", "httpx"])
def engine(request: pytest.FixtureRequest, server: ScriptedServer) -> Plain:
    return Plain(base_url=server.base_url, http_client=request.param)


def within(engine: Plain, do: Callable[[], Awaitable[T]]) -> T:
    async def life() -> T:
        await engine.start()
        try:
            return await do()
        finally:
            await engine.stop()

    return asyncio.run(life())


def lines(engine: Plain, most_bytes: int = 2**30) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        return [each async for each in json_lines(engine, "/results", most_bytes)]

    return within(engine, read)


def test_lines_are_objects_and_blank_ones_are_none(engine: Plain, server: ScriptedServer) -> None:
    server.reset({"faults": [{"body": '{"a": 1}\n\n{"a": 2}\r\n{"a": "\\u2028"}'}]})
    assert lines(engine) == [{"a": 1}, {"a": 2}, {"a": "\u2028"}]
    assert server.requests()[0].path == "/v1/results"


def test_a_file_longer_than_what_is_kept_in_memory_is_read(engine: Plain, server: ScriptedServer) -> None:
    server.reset({"faults": [{"body": {"repeat": '{"a": 1}\n', "times": 600_000}}]})
    assert len(lines(engine)) == 600_000


def test_a_key_in_a_line_is_taken_out(engine: Plain, server: ScriptedServer, key: str) -> None:
    server.reset({"faults": [{"body": f'{{"said": "it is {key}"}}\n'}]})
    assert lines(engine) == [{"said": "it is [redacted]"}]


@pytest.mark.parametrize(
    ("fault", "code", "again"),
    [
        ({"body": '{"a": 1}\n{"a": '}, "connection", True),
        ({"body": '{"a": 1}\n', "cut": -3}, "connection", True),
        ({"body": '{"a": 1}\nnothing\n'}, "invalid_reply", False),
        ({"body": "[1]\n"}, "invalid_reply", False),
        ({"body": "[" * 100_000 + "\n"}, "invalid_reply", False),
        ({"body": '{"a": 1}\n' * 200}, "reply_too_large", False),
        ({"status": 404}, "not_found", False),
    ],
)
def test_a_file_that_is_cut_wrong_or_too_long_is_a_failure(
    fault: dict[str, Any], code: str, again: bool, engine: Plain, server: ScriptedServer
) -> None:
    server.reset({"faults": [fault]})
    with pytest.raises(EngineError) as caught:
        lines(engine, 1500 if code == "reply_too_large" else 2**30)
    assert (caught.value.code, caught.value.retryable) == (code, again)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('\n{"a": 1}\n{"a": 2}\n', {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ("", None),
        ("\n\n", None),
        ({"repeat": '{"a": 1}\n', "times": 4_000_000}, {"a": 1}),
    ],
)
def test_of_the_first_line_no_more_is_fetched(
    body: Any, found: dict[str, Any] | None, engine: Plain, server: ScriptedServer
) -> None:
    server.reset({"faults": [{"body": body}]})
    assert within(engine, lambda: first_json_line(engine, "/results")) == found
