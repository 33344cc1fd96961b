"""`openai/responses`: what is sent, and what documented replies and errors come to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from themis_core import HANDED_BACK, Engine, EngineError, Generation, Request, Usage
from themis_core.testing.engine import EngineSuite
from themis_core.testing.secrets import KeySuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.responses import OpenAIResponses

Ask = Callable[..., list[Generation | EngineError]]
RequestOf = Callable[..., Request]
USER = {"role": "user", "content": "2 + 2?"}
USAGE = {
    "input_tokens": 36, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 123,
}  # fmt: skip
COUNTED = Usage(36, 87, 64, 20)


class TestResponses(EngineSuite):
    stream = False

    @pytest.fixture
    def engine(self, server: ScriptedServer) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return OpenAIResponses(base_url=server.base_url, stream=self.stream, reasoning_summary="auto")

    @pytest.fixture
    def asked(self, request_of: RequestOf) -> Request:
        return request_of("2 + 2?", temperature=0.0)

    @pytest.fixture
    def failing(self, request_of: RequestOf) -> Request:
        return request_of("fail")


class TestStreamedResponses(TestResponses):
    stream = True


class TestKeys(KeySuite):
    @pytest.fixture
    def server(self, server: ScriptedServer) -> ScriptedServer:
        return server

    @pytest.fixture
    def key(self, key: str) -> str:
        return key

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        return {"model_id": "m", "provider": "openai/responses", "extras": {"base_url": server.base_url}}


@pytest.fixture
def responses(server: ScriptedServer) -> OpenAIResponses:
    return OpenAIResponses(base_url=server.base_url)


def response(status: str = "completed", *output: Any, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "model": "m-1", "output": list(output),
            "error": None, "incomplete_details": None, "usage": USAGE} | more  # fmt: skip


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    content = [
        {"type": "output_text", "text": each, "annotations": []} if isinstance(each, str) else each for each in parts
    ]
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content} | more


def thought(*summary: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": each} for each in summary]
    return {"type": "reasoning", "id": "rs_1", "summary": parts} | more


REFUSAL = {"type": "refusal", "refusal": "I can't help with that."}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": '{"a": 2}'}
CALLED = ({"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}},)
SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "2 + 2"},
}
FILTERED = {"incomplete_details": {"reason": "content_filter"}}
CUT = {"incomplete_details": {"reason": "max_output_tokens"}}

REPLIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a text", response("completed", message("4")), {"text": "4"}),
    ("two parts", response("completed", message("4", "2")), {"text": "42"}),
    ("two messages", response("completed", message("4"), message("2")), {"text": "42"}),
    ("a message on the way", response("completed", message("Let me see.", phase="commentary"),
                                      message("4", phase="final_answer")), {"text": "4"}),
    ("commentary alone", response("completed", message("Let me see.", phase="commentary")), {"text": "Let me see."}),
    ("reasoning without a summary", response("completed", thought(), message("4")), {"text": "4"}),
    ("a summary", response("completed", thought("one", "two"), message("4")), {"text": "4", "reasoning": "one\n\ntwo"}),
    ("reasoning that is shown", response("completed", thought(
        content=[{"type": "reasoning_text", "text": "2 and 2"}]), message("4")), {"text": "4", "reasoning": "2 and 2"}),
    ("a refusal", response("completed", message(REFUSAL)),
     {"status": "refused", "refusal": "I can't help with that.", "text": ""}),
    ("a text and a refusal", response("completed", message("Hm. ", REFUSAL)),
     {"status": "refused", "refusal": "I can't help with that.", "text": "Hm. "}),
    ("a call of a tool", response("completed", CALL), {"tool_calls": CALLED, "text": ""}),
    ("reasoning and a call", response("completed", thought("add"), CALL), {"tool_calls": CALLED, "reasoning": "add"}),
    ("a text and a call", response("completed", message("Wait."), CALL), {"tool_calls": CALLED, "text": "Wait."}),
    ("a search of the server's", response("completed", SEARCH, message("4")), {"text": "4"}),
    ("cut", response("incomplete", message("one two", status="incomplete"), **CUT),
     {"status": "truncated", "text": "one two", "finish_reason": "max_output_tokens"}),
    ("cut in its reasoning", response("incomplete", thought(), **CUT), {"status": "truncated", "text": ""}),
    ("cut before anything", response("incomplete", **CUT), {"status": "truncated", "text": ""}),
    ("filtered", response("incomplete", message("one"), **FILTERED),
     {"status": "refused", "finish_reason": "content_filter"}),
    ("filtered whole", response("incomplete", **FILTERED), {"status": "refused", "text": ""}),
    ("nothing, and billed", response("completed"), {"status": "empty", "text": ""}),
    ("white space", response("completed", message(" \n")), {"status": "empty"}),
    ("without usage", response("completed", message("4"), usage=None), {"text": "4", "usage": Usage()}),
    ("usage without details", response("completed", message("4"), usage={
        "input_tokens": 3, "output_tokens": 1, "total_tokens": 4}), {"usage": Usage(3, 1)}),
    ("an item of tomorrow", response("completed", {"type": "hologram"}, message("4")), {"text": "4"}),
    ("a part of tomorrow", response("completed", message({"type": "hologram"}, "4")), {"text": "4"}),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("body", "expected"), [each[1:] for each in REPLIES], ids=[each[0] for each in REPLIES])
def test_a_reply_is_read(
    body: dict[str, Any],
    expected: dict[str, Any],
    stream: bool,
    server: ScriptedServer,
    ask: Ask,
    request_of: RequestOf,
) -> None:
    event = {"type": f"response.{body['status']}", "response": body}
    server.reset({"faults": [{"body": f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" if stream else body}]})
    (answer,) = ask(OpenAIResponses(base_url=server.base_url, stream=stream), request_of())
    assert isinstance(answer, Generation), answer
    expected = {"status": "answered", "usage": COUNTED} | expected
    assert {name: getattr(answer, name) for name in expected} == expected
    assert answer.provider == {"id": "resp_1", "model": "m-1"}


def failed(code: str, words: str = "no") -> dict[str, Any]:
    return response("failed", error={"code": code, "message": words})


def http(status: int, kind: str, code: str | None, words: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"message": words, "type": kind, "param": None, "code": code}}} | more


FAILURES: list[tuple[dict[str, Any], str, bool]] = [
    ({"body": failed("server_error")}, "server_error", True),
    ({"body": failed("rate_limit_exceeded")}, "rate_limited", True),
    ({"body": failed("invalid_prompt", "Invalid prompt: flagged as violating our usage policy.")},
     "content_filter", False),
    ({"body": failed("invalid_prompt", "Invalid prompt.")}, "bad_request", False),
    ({"body": failed("vector_store_timeout")}, "server_error", True),
    ({"body": failed("invalid_image")}, "bad_request", False),
    ({"body": failed("invalid_base64_image")}, "bad_request", False),
    ({"body": failed("image_too_large")}, "too_large", False),
    ({"body": failed("image_content_policy_violation")}, "bad_request", False),
    ({"body": failed("unsupported_image_media_type")}, "bad_request", False),
    ({"body": failed("empty_image_file")}, "bad_request", False),
    ({"body": failed("failed_to_download_image")}, "bad_request", False),
    ({"body": response("failed")}, "invalid_reply", True),
    ({"body": response("cancelled")}, "server_error", True),
    ({"body": response("in_progress")}, "invalid_reply", False),
    ({"body": response("queued")}, "invalid_reply", False),
    ({"body": {"id": "x", "object": "response"}}, "invalid_reply", False),
    ({"body": {"object": "chat.completion", "choices": []}}, "invalid_reply", False),
    ({"body": response("completed", {"type": "message", "content": "4"})}, "invalid_reply", False),
    ({"body": response("completed", "4")}, "invalid_reply", False),
    (http(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided"), "unauthorized", False),
    (http(403, "invalid_request_error", "unsupported_country_region_territory", "Country not supported"),
     "forbidden", False),
    (http(404, "invalid_request_error", "model_not_found", "The model `x` does not exist"), "not_found", False),
    (http(400, "invalid_request_error", "unsupported_parameter", "Unsupported parameter: 'temperature'"),
     "bad_request", False),
    (http(400, "invalid_request_error", None, "Encrypted content is not supported with this model."),
     "bad_request", False),
    (http(400, "invalid_request_error", "context_length_exceeded", "Your input exceeds the context window"),
     "context_length", False),
    (http(400, "invalid_request_error", "invalid_prompt", "Invalid prompt: violating our usage policy"),
     "content_filter", False),
    (http(429, "requests", "rate_limit_exceeded", "Rate limit reached"), "rate_limited", True),
    (http(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
     "quota_exhausted", False),
    (http(500, "server_error", None, "The server had an error"), "server_error", True),
    (http(503, "server_error", None, "The engine is currently overloaded"), "overloaded", True),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "code", "retryable"), FAILURES)
def test_a_failure_has_its_code(
    fault: dict[str, Any], code: str, retryable: bool, server: ScriptedServer, responses: OpenAIResponses, ask: Ask,
    request_of: RequestOf,
) -> None:  # fmt: skip
    server.reset({"faults": [fault]})
    (error,) = ask(responses, request_of())
    assert isinstance(error, EngineError), error
    assert (error.code, error.retryable) == (code, retryable)
    if isinstance(fault["body"].get("usage"), dict):
        assert error.usage == COUNTED, "what was billed is told"


def test_there_are_forty_cases() -> None:
    assert len(REPLIES) + len(FAILURES) >= 40


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        ('data: {"type": "response.created", "response": {}}\n\n', "connection"),
        ('data: {"type": "response.created", "response": {}}\n\ndata: [DONE]\n\n', "connection"),
        ('event: error\ndata: {"type": "error", "code": "server_error", "message": "x"}\n\n', "server_error"),
        (f"data: {json.dumps({'type': 'response.failed', 'response': failed('rate_limit_exceeded')})}\n\n",
         "rate_limited"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("carrier")
def test_a_stream_that_breaks_is_a_failure(
    stream: str, code: str, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"body": stream}]})
    (error,) = ask(OpenAIResponses(base_url=server.base_url, stream=True), request_of())
    assert isinstance(error, EngineError)
    assert (error.code, error.retryable) == (code, True)


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}


def test_settings_are_on_the_wire_under_their_names_there(
    server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    params = {
        "temperature": 0.5, "top_p": 0.9, "max_tokens": 64, "reasoning_effort": "low", "logprobs": True,
        "top_logprobs": 3, "response_format": SCHEMA, "tools": [TOOL, {"type": "web_search"}],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "extra_body": {"text": {"verbosity": "low"}, "include": ["web_search_call.action.sources"], "store": True},
    }  # fmt: skip
    ask(OpenAIResponses(base_url=server.base_url, reasoning_summary="concise"), request_of(**params))
    (request,) = server.requests()
    assert request.path == "/v1/responses"
    assert request.body == {
        "model": "small-1", "input": [USER], "store": True, "temperature": 0.5, "top_p": 0.9,
        "max_output_tokens": 64, "top_logprobs": 3, "reasoning": {"effort": "low", "summary": "concise"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True},
                 "verbosity": "low"},
        "tools": [{"type": "function", "strict": False, "name": "add", "parameters": {"type": "object"}},
                  {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "add"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.action.sources"],
    }  # fmt: skip


def test_without_settings_nothing_is_asked_beyond_the_input(
    server: ScriptedServer, responses: OpenAIResponses, ask: Ask, request_of: RequestOf
) -> None:
    ask(responses, request_of())
    assert server.requests()[0].body == {"model": "small-1", "input": [USER], "store": False}


@pytest.mark.parametrize(
    ("config", "params", "included"),
    [
        ({}, {"reasoning_effort": "low"}, True),
        ({"reasoning_summary": "auto"}, {}, True),
        ({"encrypted_reasoning": True}, {}, True),
        ({"encrypted_reasoning": False}, {"reasoning_effort": "low"}, False),
        ({}, {}, False),
    ],
)
def test_encrypted_reasoning_is_asked_for_where_there_is_reasoning(
    config: dict[str, Any], params: dict[str, Any], included: bool, request_of: RequestOf
) -> None:
    body = OpenAIResponses(**config).body(request_of(**params))
    assert ("reasoning.encrypted_content" in body.get("include", ())) is included


@pytest.mark.parametrize(
    "params",
    [
        {"seed": 7}, {"stop": ["x"]}, {"n": 2}, {"presence_penalty": 0.1}, {"extra_body": {"input": "x"}},
        {"extra_body": {"background": True}}, {"extras": {"stream": True}},
        {"reasoning_effort": "low", "extra_body": {"reasoning": {"effort": "high"}}},
    ],
)  # fmt: skip
def test_what_there_is_no_setting_for_is_refused_in_the_plan(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"leave_out|can't set|take"):
        OpenAIResponses().check_params(params)


def test_messages_become_items(responses: OpenAIResponses) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": None}}
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}}
    body = responses.body(Request("m", [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image, file]},
        {"role": "assistant", "content": "", "tool_calls": list(CALLED)},
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
        {"role": "assistant", "content": "It is 4."},
        {"role": "system", "content": "Now in words."},
        {"role": "user", "content": "Again?"},
    ], {}))  # fmt: skip
    assert body["instructions"] == "Be brief.\n\nBe kind."
    assert body["input"] == [
        {"role": "user", "content": [
            {"type": "input_text", "text": "What?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}]},
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 2}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "4"},
        {"role": "assistant", "content": "It is 4."},
        {"role": "system", "content": "Now in words."},
        {"role": "user", "content": "Again?"},
    ]  # fmt: skip


def test_sound_is_refused(responses: OpenAIResponses) -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    with pytest.raises(EngineError, match="input_audio") as caught:
        responses.body(Request("m", [{"role": "user", "content": [part]}], {}))
    assert caught.value.code == "unsupported"
    assert not OpenAIResponses.capabilities.audio


def test_sealed_reasoning_is_handed_back_with_all_that_followed_it(server: ScriptedServer, ask: Ask) -> None:
    sealed = thought("add", encrypted_content="gAAAAAB")
    server.reset({"faults": [{"at": 1, "body": response("completed", sealed, CALL)}]})
    engine = OpenAIResponses(base_url=server.base_url, encrypted_reasoning=True)
    (first,) = ask(engine, Request("m", [USER], {}))
    assert isinstance(first, Generation)
    turn = {"role": "assistant", "content": first.text, "tool_calls": list(first.tool_calls),
            HANDED_BACK: first.provider[HANDED_BACK]}  # fmt: skip
    ask(engine, Request("m", [USER, turn, {"role": "tool", "tool_call_id": "call_1", "content": "4"}], {}))
    assert server.requests()[1].body["input"] == [
        USER, sealed, CALL, {"type": "function_call_output", "call_id": "call_1", "output": "4"},
    ]  # fmt: skip


def test_reasoning_that_was_cut_off_is_not_handed_back_without_what_followed(server: ScriptedServer, ask: Ask) -> None:
    sealed = thought(encrypted_content="gAAAAAB")
    cut = response("incomplete", sealed, incomplete_details={"reason": "max_output_tokens"})
    server.reset({"faults": [{"at": 1, "body": cut}]})
    (answer,) = ask(OpenAIResponses(base_url=server.base_url, encrypted_reasoning=True), Request("m", [USER], {}))
    assert isinstance(answer, Generation)
    assert (answer.status, HANDED_BACK in answer.provider) == ("truncated", False)


def test_calls_whose_input_is_free_text_are_calls_as_well(server: ScriptedServer, ask: Ask) -> None:
    item = {"type": "custom_tool_call", "call_id": "c1", "name": "run", "input": "print(4)"}
    server.reset({"faults": [{"at": 1, "body": response("completed", item)}]})
    engine = OpenAIResponses(base_url=server.base_url)
    tool = {"type": "custom", "custom": {"name": "run"}}
    params = {"tools": [tool], "tool_choice": tool}
    (first,) = ask(engine, Request("m", [USER], params))
    assert isinstance(first, Generation)
    called = {"id": "c1", "type": "custom", "custom": {"name": "run", "input": "print(4)"}}
    assert (first.status, first.tool_calls) == ("answered", (called,))
    sent = server.requests()[0].body
    flat = {"type": "custom", "name": "run"}
    assert (sent["tools"], sent["tool_choice"]) == ([flat], flat)
    ask(
        engine, Request("m", [USER, first.as_message(), {"role": "tool", "tool_call_id": "c1", "content": "4"}], params)
    )
    assert server.requests()[1].body["input"] == [
        USER, item, {"type": "custom_tool_call_output", "call_id": "c1", "output": "4"},
    ]  # fmt: skip


def test_probabilities_of_tokens_are_kept(
    server: ScriptedServer, responses: OpenAIResponses, ask: Ask, request_of: RequestOf
) -> None:
    tokens = [{"token": "4", "logprob": -0.25, "bytes": [52], "top_logprobs": [{"token": "5", "logprob": -2.0}]}]
    part = {"type": "output_text", "text": "4", "logprobs": tokens}
    server.reset({"faults": [{"body": response("completed", message(part))}]})
    (answer,) = ask(responses, request_of(logprobs=True))
    assert isinstance(answer, Generation)
    assert answer.logprobs == (
        {"token": "4", "logprob": -0.25, "top_logprobs": [{"token": "5", "logprob": -2.0}]},
    )  # fmt: skip


@pytest.mark.usefixtures("carrier")
@pytest.mark.parametrize("stream", [False, True])
def test_the_scripted_server_speaks_the_interface(
    stream: bool, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
    output = {"content": "4", "reasoning": "two and two", "tool_calls": [call]}
    server.reset({"answers": {"rule": "constant", "output": output}})
    engine = OpenAIResponses(base_url=server.base_url, stream=stream, reasoning_summary="auto")
    (answer,) = ask(engine, request_of("2 + 2?"))
    assert isinstance(answer, Generation)
    assert (answer.status, answer.text, answer.reasoning) == ("answered", "4", "two and two")
    assert (answer.tool_calls, answer.usage.output_tokens) == ((call,), 1)
    assert answer.provider[HANDED_BACK]["output"][0]["encrypted_content"] == "sealed-1"


def test_a_whole_address_is_refused() -> None:
    with pytest.raises(ValueError, match="leave out /responses"):
        OpenAIResponses(base_url="https://api.openai.com/v1/responses")


def test_a_batch_is_answered_as_single_requests_are(server: ScriptedServer) -> None:
    server.reset({"faults": [{"match": "bad", "status": 400}]})
    nonce = f"themis-{datetime.now(UTC):%Y%m%d%H%M%S}-0123456789abcdef"
    asked = [Request("m", [{"role": "user", "content": each}], {}, key=each * 16) for each in ("good", "bad")]

    async def life() -> tuple[str, dict[str, Any]]:
        engine = OpenAIResponses(base_url=server.base_url)
        await engine.start()
        try:
            state = await engine.collect(await engine.submit(nonce, asked))
            assert state.replies is not None
            return state.status, {each.key: each.result async for each in state.replies}
        finally:
            await engine.stop()

    status, said = asyncio.run(life())
    answer, failure = (said[each.key] for each in asked)
    assert status == "ended"
    assert isinstance(answer, Generation)
    assert (answer.status, answer.text) == ("answered", "good")
    assert isinstance(failure, EngineError)
    assert failure.code == "bad_request"
    (made,) = server.batches()
    assert made["endpoint"] == "/v1/responses"
