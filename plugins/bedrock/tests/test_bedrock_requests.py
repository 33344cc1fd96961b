"""What goes over the wire: exact arguments, and what is refused before anything is sent."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from themis_core import EngineError, InferenceParamsSpec, Request
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer
from themis_plugin_bedrock.engine import BedrockConverse
from themis_plugin_bedrock.wire import Options, converse_request

USER: list[dict[str, Any]] = [{"role": "user", "content": "2 + 2?"}]
SAID = [{"role": "user", "content": [{"text": "2 + 2?"}]}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA, "strict": True}}
SPEC = {"toolSpec": {"name": "add", "description": "Adds.", "inputSchema": {"json": SCHEMA}, "strict": True}}
CALL = {"id": "tooluse_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
USE = {"toolUse": {"toolUseId": "tooluse_1", "name": "add", "input": {"a": 2}}}
POINT = {"cachePoint": {"type": "default"}}
PDF = "data:application/pdf;base64,JVBERi0="
PNG = "data:image/png;base64,iVBORw0KGgo="


def asked(
    messages: list[dict[str, Any]] | None = None, params: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    request = Request("m-1", USER if messages is None else messages, params or {})
    return converse_request(request, Options(**options))


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({}, {}),
        ({"max_tokens": 64, "temperature": 0.0, "top_p": 0.9, "stop": ["END"]},
         {"inferenceConfig": {"maxTokens": 64, "temperature": 0.0, "topP": 0.9, "stopSequences": ["END"]}}),
        ({"stop": [], "n": 1, "logprobs": False}, {}),
        ({"tools": [TOOL]}, {"toolConfig": {"tools": [SPEC]}}),
        ({"tools": [SPEC]}, {"toolConfig": {"tools": [SPEC]}}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"toolConfig": {"tools": [SPEC], "toolChoice": {"auto": {}}}}),
        ({"tools": [TOOL], "tool_choice": "required"}, {"toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}}),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "add"}}},
         {"toolConfig": {"tools": [SPEC], "toolChoice": {"tool": {"name": "add"}}}}),
        ({"tools": [TOOL], "tool_choice": {"any": {}}}, {"toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}}),
        ({"tool_choice": "none"}, {}),
        ({"response_format": FORM},
         {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {
             "jsonSchema": {"schema": json.dumps(SCHEMA), "name": "sum"}}}}}),
        ({"response_format": {"type": "text"}}, {}),
        ({"extras": {"performanceConfig": {"latency": "optimized"}}}, {"performanceConfig": {"latency": "optimized"}}),
    ],
)  # fmt: skip
def test_settings_are_sent_under_the_names_of_converse(params: dict[str, Any], sent: dict[str, Any]) -> None:
    assert asked(params=params) == {"modelId": "m-1", "messages": SAID, **sent}


def test_the_config_adds_its_part() -> None:
    fields = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    guardrail = {"guardrailIdentifier": "g", "guardrailVersion": "1"}
    sent = asked(params={"extras": {"additionalModelRequestFields": {"top_k": 4}}}, additional_fields=fields)
    assert sent["additionalModelRequestFields"] == {**fields, "top_k": 4}
    assert asked(guardrail=guardrail)["guardrailConfig"] == guardrail
    assert fields.keys() == {"thinking"}


TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "2 + 2?"},
]


def test_the_system_prompt_stands_apart() -> None:
    sent = asked(TALK)
    assert sent["system"] == [{"text": "Be brief."}]
    assert [(each["role"], each["content"]) for each in sent["messages"]] == [
        ("user", [{"text": "1 + 1?"}]),
        ("assistant", [{"text": "2"}]),
        ("user", [{"text": "2 + 2?"}]),
    ]


def test_what_is_to_be_cached_is_marked_behind_it() -> None:
    sent = asked(TALK, {"tools": [TOOL]}, cache=["tools", "system", "history", "prompt"])
    assert sent["toolConfig"]["tools"] == [SPEC, POINT]
    assert sent["system"] == [{"text": "Be brief."}, POINT]
    assert [each["content"][-1] for each in sent["messages"]] == [{"text": "1 + 1?"}, POINT, POINT]
    hour = asked(TALK, cache=["system"], cache_ttl="1h")["system"][-1]
    assert hour == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert "cachePoint" not in str(asked([], cache=["tools", "system", "history", "prompt"]))


@pytest.mark.parametrize("named", ["tooluse_1", "call_1"])
def test_calls_and_results_of_tools_are_blocks(named: str) -> None:
    messages = [
        *USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "tooluse_2"}]},
        {"role": "tool", "content": "4", "tool_call_id": named},
        {"role": "tool", "content": "", "tool_call_id": "tooluse_2"},
    ]
    assert asked(messages)["messages"][1:] == [
        {"role": "assistant", "content": [USE, {"toolUse": {**USE["toolUse"], "toolUseId": "tooluse_2"}}]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "4"}]}},
            {"toolResult": {"toolUseId": "tooluse_2", "content": [{"text": ""}]}},
        ]},
    ]  # fmt: skip


def test_reasoning_goes_back_as_it_came_over_the_wire(server: ScriptedServer) -> None:
    reasoning = {"reasoningContent": {"reasoningText": {"text": "2", "signature": "s"}}}
    kept = [reasoning, {"reasoningContent": {"redactedContent": {"$bytes": "AP8="}}}, USE]
    messages = [
        *USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL], "handed_back": {"content": kept}},
        {"role": "tool", "content": "4", "tool_call_id": "tooluse_1"},
    ]
    outcomes(BedrockConverse(endpoint_url=server.origin), [Request("m-1", messages, {"tools": [TOOL]})])
    (served,) = server.requests()
    assert served.messages[1] == {
        "role": "assistant",
        "content": [reasoning, {"reasoningContent": {"redactedContent": "AP8="}}, USE],
    }


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}},
         {"image": {"format": "png", "source": {"bytes": base64.b64decode("iVBORw0KGgo=")}}}),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
         {"audio": {"format": "wav", "source": {"bytes": b"RIFF"}}}),
        ({"type": "file", "file": {"filename": "docs/My_paper (v2).pdf", "file_data": PDF}},
         {"document": {"format": "pdf", "name": "My paper (v2)", "source": {"bytes": b"%PDF-"}}}),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi"}},
         {"document": {"format": "csv", "name": "document", "source": {"bytes": b"a,b"}}}),
    ],
)  # fmt: skip
def test_parts_become_blocks(part: dict[str, Any], block: dict[str, Any]) -> None:
    sent = asked([{"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}])
    assert sent["messages"] == [{"role": "user", "content": [block, {"text": "What is it?"}]}]


@pytest.mark.parametrize(
    ("messages", "params", "words"),
    [
        *((USER, {name: value}, f"no setting '{name}'") for name, value in {
            "seed": 7, "n": 2, "top_k": 4, "min_p": 0.1, "logprobs": True, "top_logprobs": 1, "presence_penalty": 0.1,
            "frequency_penalty": 0.1, "repetition_penalty": 1.1, "reasoning_effort": "low"}.items()),
        (USER, {"response_format": {"type": "json_object"}}, "no JSON without a schema"),
        (USER, {"tool_choice": "auto"}, "needs tools"),
        (USER, {"tools": [TOOL], "tool_choice": "none"}, "no tool_choice none"),
        (USER, {"extras": {"messages": []}}, "can't set messages"),
        ([*USER, {"role": "system", "content": "x"}], {}, "before all others"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a.png"}}]}], {},
         "fetches nothing"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}}]}], {},
         "and not image/tiff"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}]}], {},
         "no Base64"),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:video/mp4;base64,AA=="}}]}], {},
         "and not video/mp4"),
        ([{"role": "user", "content": [{"type": "video"}]}], {}, "no part of type 'video'"),
        ([{"role": "system", "content": "Be brief."}], {}, "beside the system's"),
    ],
)  # fmt: skip
def test_what_can_not_be_asked_is_refused(messages: Any, params: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError) as caught:
        asked(messages, params)
    assert (caught.value.code, caught.value.retryable) == ("unsupported", False)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"temperature": 0.0}, "leave_out: [temperature]"),
        ({"max_tokens": 2048}, "max_tokens (2048) must be above budget_tokens (2048)"),
    ],
)
def test_what_rules_thinking_out_is_refused_in_the_plan(params: dict[str, Any], words: str) -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    engine = BedrockConverse(additional_fields=thinking)
    with pytest.raises(ValueError, match=re.escape(words)):
        engine.check_params(params)
    engine.check_params({"temperature": 1.0, "max_tokens": 4096})
    BedrockConverse(additional_fields={"top_k": 40}).check_params(params)


def test_turns_of_one_role_are_one_as_others_are_refused() -> None:
    said = [
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "4", "tool_call_id": "tooluse_1"},
        {"role": "user", "content": "So?"},
    ]
    messages = asked(said, {"tools": [TOOL]})["messages"]
    assert [each["role"] for each in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"] == [{"text": "What is 2 + 2?"}, {"text": "Well?"}]
    assert [*messages[2]["content"][0], messages[2]["content"][1]] == ["toolResult", {"text": "So?"}]


def test_every_setting_is_sent_or_refused() -> None:
    known = {"max_tokens", "temperature", "top_p", "stop", "response_format", "tools", "tool_choice"}
    refused = {"seed", "n", "top_k", "min_p", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty"}
    refused |= {"repetition_penalty", "reasoning_effort"}
    assert known | refused | {"extra_body", "extras"} == InferenceParamsSpec.model_fields.keys()
