"""Streamed replies: the same answer as a whole one, and a failure where they break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from themis_core import HANDED_BACK, Engine, EngineError, Generation, Request, Usage
from themis_core.testing.engine import EngineSuite
from themis_core.testing.secrets import KeySuite
from themis_core.testing.server import ScriptedServer
from themis_http import Dialect, EventReader, Redaction
from themis_plugin_openai.dialect import DIALECT
from themis_plugin_openai.engines import OpenAIChat, OpenAICompletions
from themis_plugin_openai.reply import read_chat
from themis_plugin_openai.streaming import CompletionStream

Ask = Callable[..., list[Generation | EngineError]]
RequestOf = Callable[..., Request]
CALLS = [{"id": f"c{n}", "type": "function", "function": {"name": "add", "arguments": f'{{"a": {n}}}'}} for n in (1, 2)]


def chunk(finish: str | None = None, **delta: Any) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + "\n\n"


USAGE = 'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}\n\n'
DONE = "data: [DONE]\n\n"
SOUND = chunk(content="a") + chunk(content="b") + chunk("stop") + USAGE + DONE


class TestStreams(EngineSuite):
    @pytest.fixture
    def engine(self, server: ScriptedServer) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return OpenAIChat(base_url=server.base_url, stream=True)

    @pytest.fixture
    def asked(self, request_of: RequestOf) -> Request:
        return request_of("2 + 2?", temperature=0.0, n=2)

    @pytest.fixture
    def failing(self, request_of: RequestOf) -> Request:
        return request_of("fail")


class TestKeys(KeySuite):
    @pytest.fixture
    def server(self, server: ScriptedServer) -> ScriptedServer:
        return server

    @pytest.fixture
    def key(self, key: str) -> str:
        return key

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        extras = {"base_url": server.base_url, "stream": True}
        return {"model_id": "m", "provider": "openai/chat", "extras": extras}


@pytest.fixture
def streamed(server: ScriptedServer, carrier: str) -> OpenAIChat:
    return OpenAIChat(base_url=server.base_url, stream=True)


OUTPUTS: list[Any] = [
    "one two  three\n",
    "",
    {"content": "4", "reasoning": "two and two"},
    {"content": None, "tool_calls": CALLS},
    {"content": "no", "refusal": "I won't say", "finish_reason": "content_filter"},
    {"content": "cut", "finish_reason": "length"},
    {"content": "a", "logprobs": {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}]}},
]


@pytest.mark.usefixtures("carrier")
@pytest.mark.parametrize("output", OUTPUTS, ids=str)
@pytest.mark.parametrize("n", [1, 3])
def test_a_stream_gives_the_answer_that_a_whole_reply_gives(
    output: Any, n: int, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    server.reset(
        {"answers": {"rule": "constant", "output": output}, "faults": [{"every": 2, "chunked": True, "chunk": 7}]}
    )
    streamed, whole = (OpenAIChat(base_url=server.base_url, stream=stream) for stream in (True, False))
    answers = [*ask(streamed, [request_of(n=n), request_of(n=n)]), *ask(whole, request_of(n=n))]
    plain = []
    for each in answers:
        assert isinstance(each, Generation)
        data = each.to_dict()
        del data["latency_s"], data["provider"]["id"]
        plain.append(data)
    assert plain[0] == plain[1] == plain[2]


@pytest.mark.usefixtures("carrier")
def test_a_text_completion_is_streamed_as_well(server: ScriptedServer, ask: Ask, request_of: RequestOf) -> None:
    (answer,) = ask(OpenAICompletions(base_url=server.base_url, stream=True), request_of("one two"))
    assert isinstance(answer, Generation)
    assert (answer.text, answer.finish_reason, answer.usage) == ("one two", "stop", Usage(2, 2))
    (request,) = server.requests()
    assert request.body["stream_options"] == {"include_usage": True}
    assert request.headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("body", "text", "usage"),
    [
        pytest.param(SOUND, "ab", Usage(3, 2), id="sound"),
        pytest.param(SOUND.replace("\n", "\r\n"), "ab", Usage(3, 2), id="lines of Windows"),
        pytest.param("\ufeff" + SOUND, "ab", Usage(3, 2), id="byte order mark"),
        pytest.param(SOUND.replace("data: ", "data:"), "ab", Usage(3, 2), id="no space"),
        pytest.param(": ping\n\n" * 50 + SOUND.replace("\n\n", "\n\n: ping\n\n"), "ab", Usage(3, 2), id="comments"),
        pytest.param(SOUND.replace("data: ", "event: message\nid: 7\nretry: 10\ndata: "), "ab", Usage(3, 2),
                     id="fields"),
        pytest.param(SOUND.removesuffix(DONE), "ab", Usage(3, 2), id="without done"),
        pytest.param(SOUND.removesuffix("\n\n"), "ab", Usage(3, 2), id="no empty line at the end"),
        pytest.param(SOUND.removesuffix(USAGE + DONE), "ab", Usage(), id="without usage"),
        pytest.param(SOUND.removesuffix(USAGE + DONE) + USAGE[:20], "ab", Usage(), id="usage cut"),
        pytest.param(chunk(content="a") + DONE, "a", Usage(), id="done without a finish reason"),
        pytest.param(SOUND + "data: nonsense\n\n", "ab", Usage(3, 2), id="more after done"),
        pytest.param(chunk(content=None) + chunk(content=[{"type": "text", "text": "a"}]) + chunk("stop"), "a", Usage(),
                     id="parts"),
        pytest.param(json.dumps({"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}]}), "ab", Usage(),
                     id="no stream at all"),
        pytest.param('data: {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, '
                     '"finish_reason": "stop"}]}\n\n', "ab", Usage(), id="a whole message as one event"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [0, 1])
def test_streams_of_all_makes_are_read(
    body: str, text: str, usage: Usage, size: int, streamed: OpenAIChat, server: ScriptedServer, ask: Ask,
    request_of: RequestOf,
) -> None:  # fmt: skip
    server.reset({"faults": [{"body": body, "chunked": True, "chunk": size}]})
    (answer,) = ask(streamed, request_of())
    assert isinstance(answer, Generation), answer
    assert (answer.status, answer.text, answer.usage) == ("answered", text, usage)


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        pytest.param({"body": chunk(content="a")}, "connection", True, id="ends before its finish reason"),
        pytest.param({"body": ""}, "connection", True, id="empty"),
        pytest.param({"body": ": ping\n\n"}, "connection", True, id="comments only"),
        pytest.param({"body": DONE}, "invalid_reply", False, id="done and nothing else"),
        pytest.param({"body": SOUND, "chunked": True, "cut": 250}, "connection", True, id="cut"),
        pytest.param({"body": SOUND, "chunked": True, "cut": 250, "ending": "abort"}, "connection", True, id="reset"),
        pytest.param({"body": chunk(content="a") + "data: {nonsense\n\n"}, "invalid_reply", True, id="no JSON"),
        pytest.param({"body": chunk(content="a") + "data: [1]\n\n"}, "invalid_reply", True, id="no object"),
        pytest.param({"body": chunk(content="a") + chunk("error")}, "server_error", True, id="broken off there"),
        pytest.param({"body": chunk(content="a") + 'data: {"error": {"message": "x", "code": 429}}\n\n'},
                     "rate_limited", True, id="an error in mid-stream"),
        pytest.param({"body": chunk(content="a") + 'event: error\ndata: {"type": "overloaded_error"}\n\n'},
                     "overloaded", True, id="an event of the name error"),
        pytest.param({"status": 401, "body": {"error": {"message": "no"}}}, "unauthorized", False, id="a status"),
        pytest.param({"body": {"error": {"message": "x", "code": 402}}}, "quota_exhausted", False, id="an error whole"),
        pytest.param({"body": "<html>"}, "invalid_reply", True, id="a page"),
        pytest.param({"body": {"repeat": ": ping\n\n", "times": 300}}, "reply_too_large", False, id="endless comments"),
        pytest.param({"body": {"repeat": "data: x", "times": 300}}, "reply_too_large", False, id="an endless line"),
    ],
)  # fmt: skip
def test_a_stream_that_breaks_is_a_failure_and_no_cut_answer(
    fault: dict[str, Any], code: str, retryable: bool, server: ScriptedServer, ask: Ask, request_of: RequestOf,
    carrier: str,
) -> None:  # fmt: skip
    server.reset({"faults": [{"at": 1, **fault}]})
    engine = OpenAIChat(base_url=server.base_url, stream=True, max_reply_bytes=2000)
    error, answer = ask(engine, [request_of(), request_of()])
    assert isinstance(error, EngineError), error
    assert (error.code, error.retryable) == (code, retryable)
    assert isinstance(answer, Generation), "the engine is as good as before"


def put_together(*chunks: str) -> Generation:
    stream = CompletionStream(Redaction(()), DIALECT, "")
    for each in chunks:
        stream.take(each.encode())
    return read_chat(stream.reply(), hand_back=("reasoning_details",))


def test_calls_of_tools_that_all_have_the_number_0_stay_apart() -> None:
    calls = [{"index": 0, **each} for each in CALLS]
    answer = put_together(*(chunk(tool_calls=[each]) for each in calls), chunk("tool_calls"))
    assert answer.tool_calls == tuple(CALLS)


@pytest.mark.parametrize("numbered", [True, False])
def test_pieces_of_a_call_are_one_whether_its_id_is_told_once_always_or_made_up_anew(numbered: bool) -> None:
    for ids in ({}, {"id": "c1"}, {"id": "c2"}) if numbered else ({}, {"id": "c1"}):
        number = {"index": 0} if numbered else {}
        first = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":'}}
        more = {**ids, "function": {"arguments": " 1}"}}
        answer = put_together(chunk(tool_calls=[number | first]), chunk(tool_calls=[number | more]), chunk("stop"))
        assert [call["function"] for call in answer.tool_calls] == [{"name": "add", "arguments": '{"a": 1}'}]


def test_reasoning_as_parts_and_an_answer_as_text_are_both_kept() -> None:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "two and two"}]}]
    answer = put_together(
        chunk(content=""), chunk(content=thinking), chunk(content="it "), chunk("stop", content="is 4")
    )
    assert (answer.text, answer.reasoning) == ("it is 4", "two and two")


def test_halves_of_a_character_that_come_in_two_pieces_are_one() -> None:
    answer = put_together(chunk(content="a \ud83d"), chunk("stop", content="\ude00 b"))
    assert answer.text == "a \U0001f600 b"
    assert put_together(chunk("stop", content="a \ud83d")).text == "a \ud83d"  # as in a whole reply


def test_a_number_that_is_not_finite_is_no_more_harm_than_in_a_whole_reply() -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
    choice["logprobs"] = {"content": [{"token": "a", "logprob": float("-inf"), "top_logprobs": []}]}
    answer = put_together(f"data: {json.dumps({'choices': [choice], 'timings': {'per_s': float('nan')}})}\n\n")
    assert answer.logprobs == ({"token": "a", "logprob": None, "top_logprobs": []},)


def test_pieces_of_what_is_handed_back_are_one_entry_each() -> None:
    one = {"type": "reasoning.text", "index": 0, "format": "x-v1"}
    sealed = {"type": "reasoning.encrypted", "index": 1, "data": "abc"}
    answer = put_together(
        chunk(reasoning_details=[one | {"text": "two "}]),
        chunk(reasoning_details=[one | {"text": "and two"}]),
        chunk(reasoning_details=[one | {"signature": "s"}, sealed]),
        chunk("stop", content="4"),
    )
    whole = one | {"text": "two and two", "signature": "s"}
    assert answer.provider[HANDED_BACK] == {"reasoning_details": [whole, sealed]}


def test_an_error_after_pieces_of_an_answer_may_have_been_billed(
    streamed: OpenAIChat, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    broken = 'data: {"error": {"message": "x", "code": 503}}\n\n'
    server.reset({"faults": [{"at": 1, "body": broken}, {"at": 2, "body": chunk(content="a") + broken}]})
    before, after = ask(streamed, [request_of(), request_of()])
    assert isinstance(before, EngineError)
    assert isinstance(after, EngineError)
    assert (before.unknown_outcome, after.unknown_outcome) == (False, True)


def test_options_of_a_stream_go_beside_the_count_of_tokens(request_of: RequestOf) -> None:
    body = OpenAIChat(stream=True).body_of_stream(
        request_of(extra_body={"stream_options": {"include_obfuscation": False}})
    )
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_one_choice_of_two_is_no_answer(
    streamed: OpenAIChat, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"body": chunk("stop", content="a")}]})
    (error,) = ask(streamed, request_of(n=2))
    assert isinstance(error, EngineError)
    assert error.unknown_outcome


def test_the_key_is_taken_out_where_it_came_in_pieces(
    streamed: OpenAIChat, server: ScriptedServer, ask: Ask, request_of: RequestOf, key: str
) -> None:
    server.reset({"faults": [{"body": chunk(content=f"is {key[:9]}") + chunk(content=key[9:]) + chunk("stop")}]})
    (answer,) = ask(streamed, request_of())
    assert isinstance(answer, Generation)
    assert answer.text == "is [redacted]"


def test_a_stalled_stream_ends_with_its_attempt_and_the_connection_is_not_used_again(
    streamed: OpenAIChat, server: ScriptedServer, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"at": 1, "body": chunk(content="a"), "chunked": True, "cut": -5, "ending": "stall"}]})

    async def life() -> Generation:
        await streamed.start()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await streamed.generate(request_of())
            return await streamed.generate(request_of("again"))
        finally:
            await streamed.stop()

    assert asyncio.run(life()).text == "again"


def test_a_stream_that_is_not_closed_after_its_end_is_not_waited_for(
    streamed: OpenAIChat, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"at": 1, "body": SOUND, "chunked": True, "cut": -5, "ending": "stall"}]})
    answers = ask(streamed, [request_of(), request_of("b")])
    assert [each.text for each in answers if isinstance(each, Generation)] == ["ab", "b"]


def test_events_are_the_same_wherever_the_pieces_are_cut() -> None:
    raw = b'\xef\xbb\xbf: hi\r\nevent: a\r\ndata: {"x":\r\ndata:  1}\r\n\r\ndata: \xc3\xa4\n\n\ndata: last'
    expected = [("a", b'{"x":\n 1}'), ("", "ä".encode()), ("", b"last")]
    for size in range(1, len(raw) + 1):
        reader = EventReader()
        events = [event for start in range(0, len(raw), size) for event in reader.feed(raw[start : start + size])]
        assert [*events, *reader.close()] == expected, size


def test_a_long_line_that_comes_in_many_pieces_is_one_event() -> None:
    reader = EventReader()
    for piece in (b"data: ", *[b"x" * 100] * 2000):
        assert list(reader.feed(piece)) == []
    assert list(reader.feed(b"\n\n")) == [("", b"x" * 200_000)]


def test_a_stream_of_a_hundred_thousand_pieces_is_put_together_once() -> None:
    stream = CompletionStream(Redaction(()), Dialect(), "")
    piece = chunk(content="ab").encode()
    for _ in range(100_000):
        stream.take(piece)
    stream.take(chunk("stop").encode())
    assert stream.reply()["choices"][0]["message"]["content"] == "ab" * 100_000
