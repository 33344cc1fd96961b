"""The protocols of the scripted server: one script, answered in each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from themis_core.testing.script import Reply, Script
from themis_core.testing.wires import WIRES, understood, wire_of

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/small-1:generateContent?alt=json"
CONVERSE = "/model/eu.maker.small-1%3A0/converse"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {
        "model": "small-1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
    },
    MESSAGES: {
        "model": "small-1",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}],
    },
    GEMINI: {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "2 + "}, {"text": "2?"}]}],
    },
    CONVERSE: {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "2 + 2?"}]}],
    },
}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
OUTPUT = {"content": "4", "reasoning": "two and two", "signature": "c2ln", "tool_calls": [CALL]}


def said(script: Mapping[str, Any], path: str, headers: dict[str, str] | None = None) -> tuple[int, str, Any]:
    """Status, head and body of the reply to the one request of that path."""
    reply: Reply = Script(script).reply(understood(1, path, headers or {}, BODIES[path]))
    head, _, body = b"".join(piece for _, piece in reply.pieces).partition(b"\r\n\r\n")
    return reply.status, head.decode(), json.loads(body)


@pytest.mark.parametrize("path", BODIES)
def test_a_request_is_understood_in_its_own_protocol(path: str) -> None:
    call = understood(3, path, {}, BODIES[path])
    assert (call.ordinal, call.prompt, call.method) == (3, "2 + 2?", "POST")
    assert call.model == ("eu.maker.small-1:0" if path == CONVERSE else "small-1")
    assert list(call.messages) == [("system", "Be brief."), ("user", "2 + 2?")]


def test_each_path_has_its_protocol_and_any_other_is_openais() -> None:
    named = {path: type(wire_of(path)).__name__ for path in (*BODIES, "/v1/models", "/", "/api/v2/completions")}
    assert list(named.values()) == ["OpenAI", "Anthropic", "Gemini", "Converse", "OpenAI", "OpenAI", "OpenAI"]
    assert len({type(each) for each in WIRES}) == len(WIRES)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (MESSAGES, {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "small-1",
            "content": [
                {"type": "thinking", "thinking": "two and two", "signature": "c2ln"}, {"type": "text", "text": "4"},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 2}},
            ],
            "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 2, "output_tokens": 1},
        }),
        (GEMINI, {
            "modelVersion": "small-1", "responseId": "scripted-1",
            "candidates": [{
                "content": {"role": "model", "parts": [
                    {"text": "two and two", "thought": True}, {"text": "4"},
                    {"functionCall": {"id": "c1", "name": "add", "args": {"a": 2}}, "thoughtSignature": "c2ln"},
                ]},
                "finishReason": "STOP", "index": 0,
            }],
            "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 1, "totalTokenCount": 3},
        }),
        (CONVERSE, {
            "output": {"message": {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "two and two", "signature": "c2ln"}}}, {"text": "4"},
                {"toolUse": {"toolUseId": "c1", "name": "add", "input": {"a": 2}}},
            ]}},
            "stopReason": "tool_use", "metrics": {"latencyMs": 1},
            "usage": {"inputTokens": 2, "outputTokens": 1, "totalTokens": 3},
        }),
    ],
)  # fmt: skip
def test_an_output_is_written_in_the_protocol(path: str, told: dict[str, Any]) -> None:
    assert said({"answers": {"rule": "constant", "output": OUTPUT}}, path)[2] == told


@pytest.mark.parametrize("path", BODIES)
def test_plain_answers_and_counts(path: str) -> None:
    status, _, body = said({"usage": False}, path)
    assert status == 200
    assert "2 + 2?" in json.dumps(body)
    assert "usage" not in body
    assert "usageMetadata" not in body


def test_a_further_key_of_an_output_is_a_key_of_the_reply() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    assert "candidates" not in said({"answers": {"rule": "constant", "output": blocked}}, GEMINI)[2]
    details = {"content": "", "finish_reason": "refusal", "stop_details": {"type": "refusal", "category": "bio"}}
    body = said({"answers": {"rule": "constant", "output": details}}, MESSAGES)[2]
    assert (body["content"], body["stop_reason"]) == ([], "refusal")
    assert body["stop_details"] == {"type": "refusal", "category": "bio"}


@pytest.mark.parametrize(
    ("path", "head", "body"),
    [
        (CHAT, "", {"error": {"message": "slow down", "type": "scripted", "code": None}}),
        (MESSAGES, "request-id: req_scripted",
         {"type": "error", "request_id": "req_scripted",
          "error": {"type": "rate_limit_error", "message": "slow down"}}),
        (GEMINI, "", {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}),
        (CONVERSE, "x-amzn-ErrorType: ThrottlingException", {"message": "slow down"}),
    ],
)  # fmt: skip
def test_a_fault_is_told_as_the_protocol_tells_it(path: str, head: str, body: dict[str, Any]) -> None:
    status, lines, told = said({"faults": [{"status": 429, "error": {"message": "slow down"}}]}, path)
    assert (status, told) == (429, body)
    assert head in lines


@pytest.mark.parametrize(
    ("path", "right", "status"),
    [
        (CHAT, {"authorization": "Bearer key-1"}, 401),
        (MESSAGES, {"x-api-key": "key-1"}, 401),
        (GEMINI, {"x-goog-api-key": "key-1"}, 400),
        (CONVERSE, {"authorization": "AWS4-HMAC-SHA256 Credential=key-1/20260101/eu/bedrock/aws4_request, X"}, 403),
    ],
)
def test_a_key_is_wanted_where_the_protocol_has_it(path: str, right: dict[str, str], status: int) -> None:
    assert said({"api_key": "key-1"}, path, right)[0] == 200
    assert said({"api_key": "key-1"}, path)[0] == status
    fault = {"status": 401, "echo_authorization": True}
    assert "key-1" in json.dumps(said({"faults": [fault]}, path, right)[2])
