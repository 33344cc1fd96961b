"""What goes over the wire: exact bodies, and what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import EngineError, InferenceParamsSpec, Request
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer
from themis_plugin_google.engine import GoogleGemini

USER: list[dict[str, Any]] = [{"role": "user", "content": "2 + 2?"}]
SAID = [{"role": "user", "parts": [{"text": "2 + 2?"}]}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORM = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA}}
CALL = {"id": "fc-1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
MADE_UP = {**CALL, "id": "call_1"}
PNG = "data:image/png;base64,iVBORw0KGgo="


def body(
    messages: list[dict[str, Any]] | None = None,
    params: dict[str, Any] | None = None,
    seed: int | None = None,
    **config: Any,
) -> dict[str, Any]:
    engine = GoogleGemini(**config)
    return engine.body(Request("small-1", USER if messages is None else messages, params or {}, seed=seed))


@pytest.mark.parametrize(
    ("params", "config"),
    [
        ({"temperature": 0.0, "top_p": 0.9, "top_k": 40}, {"temperature": 0.0, "topP": 0.9, "topK": 40}),
        ({"max_tokens": 64, "stop": ["END"]}, {"maxOutputTokens": 64, "stopSequences": ["END"]}),
        ({"n": 2, "seed": 7}, {"candidateCount": 2, "seed": 7}),
        ({"presence_penalty": 0.1, "frequency_penalty": -0.2}, {"presencePenalty": 0.1, "frequencyPenalty": -0.2}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"reasoning_effort": "low"}, {"thinkingConfig": {"thinkingLevel": "low"}}),
        ({"response_format": FORM}, {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        ({"temperature": 0.0, "extra_body": {"generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}}},
         {"temperature": 0.0, "mediaResolution": "MEDIA_RESOLUTION_LOW"}),
    ],
)  # fmt: skip
def test_settings_are_sent_under_the_names_of_gemini(params: dict[str, Any], config: dict[str, Any]) -> None:
    assert body(params=params) == {"contents": SAID, "generationConfig": config}


@pytest.mark.parametrize(
    "params", [{}, {"stop": []}, {"logprobs": False}, {"response_format": {"type": "text"}}, {"extra_body": {}}]
)
def test_what_is_not_set_is_not_sent(params: dict[str, Any]) -> None:
    assert body(params=params) == {"contents": SAID}


def test_the_seed_of_a_sample_takes_the_place_of_the_setting() -> None:
    assert body(params={"seed": 7}, seed=11)["generationConfig"] == {"seed": 11}


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({"tools": [TOOL]},
         {"tools": [{"functionDeclarations": [
             {"name": "add", "description": "Adds.", "parametersJsonSchema": SCHEMA}]}]}),
        ({"tools": [{"googleSearch": {}}]}, {"tools": [{"googleSearch": {}}]}),
        ({"tool_choice": "auto"}, {"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}}),
        ({"tool_choice": "none"}, {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
        ({"tool_choice": "required"}, {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}},
         {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]}}}),
        ({"tool_choice": {"functionCallingConfig": {"mode": "VALIDATED"}}},
         {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}}),
        ({"extras": {"cachedContent": "cachedContents/c1"}}, {"cachedContent": "cachedContents/c1"}),
    ],
)  # fmt: skip
def test_tools_and_further_keys(params: dict[str, Any], sent: dict[str, Any]) -> None:
    assert body(params=params) == {"contents": SAID, **sent}


def test_the_config_adds_its_part() -> None:
    sent = body(
        thinking_budget=-1,
        include_thoughts=True,
        safety={"harassment": "none", "HARM_CATEGORY_HATE_SPEECH": "BLOCK_ONLY_HIGH", "sexually_explicit": "OFF"},
    )
    assert sent["generationConfig"] == {"thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}}
    assert sent["safetySettings"] == [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
        {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"},
        {"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "threshold": "OFF"},
    ]
    assert body(thinking_budget=0)["generationConfig"] == {"thinkingConfig": {"thinkingBudget": 0}}


def test_two_ways_to_write_the_same_are_one_identity() -> None:
    short = GoogleGemini(safety={"harassment": "none"})
    assert short.identity() == GoogleGemini(safety={"HARM_CATEGORY_HARASSMENT": "BLOCK_NONE"}).identity()
    assert short.identity() != GoogleGemini().identity()


def test_the_system_instruction_stands_apart() -> None:
    sent = body(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "1 + 1?"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "2 + 2?"},
        ]
    )
    assert sent == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "1 + 1?"}]},
            {"role": "model", "parts": [{"text": "2"}]},
            {"role": "user", "parts": [{"text": "2 + 2?"}]},
        ],
    }


@pytest.mark.parametrize(
    ("call", "named", "sent_id"),
    [(CALL, "fc-1", {"id": "fc-1"}), (CALL, "call_1", {"id": "fc-1"}), (MADE_UP, "call_1", {})],
)
@pytest.mark.parametrize(
    ("content", "response"),
    [("4", {"result": "4"}), ('{"sum": 4}', {"sum": 4}), ("[4]", {"result": "[4]"}), ("", {"result": ""})],
)
def test_calls_and_results_of_functions_are_parts(
    call: dict[str, Any], named: str, sent_id: dict[str, str], content: str, response: dict[str, Any]
) -> None:
    messages = [
        *USER,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "content": content, "tool_call_id": named},
    ]
    assert body(messages)["contents"][1:] == [
        {"role": "model", "parts": [
            {"text": "Let me see."}, {"functionCall": {**sent_id, "name": "add", "args": {"a": 2}}}]},
        {"role": "user", "parts": [{"functionResponse": {**sent_id, "name": "add", "response": response}}]},
    ]  # fmt: skip


def test_signed_parts_go_back_as_they_came(server: ScriptedServer) -> None:
    parts = [{"functionCall": {"name": "add", "args": {"a": 2}}, "thoughtSignature": "c2ln"}]
    messages = [
        *USER,
        {"role": "assistant", "content": "", "tool_calls": [MADE_UP], "handed_back": {"parts": parts}},
        {"role": "tool", "content": "4", "tool_call_id": "call_1"},
    ]
    outcomes(GoogleGemini(base_url=f"{server.origin}/v1beta"), [Request("small-1", messages)])
    (served,) = server.requests()
    assert served.body["contents"][1:] == [
        {"role": "model", "parts": parts},
        {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": {"result": "4"}}}]},
    ]


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}},
         {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
        ({"type": "image_url", "image_url": {"url": "https://h/a.png"}}, {"fileData": {"fileUri": "https://h/a.png"}}),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
         {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}),
        ({"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
         {"inlineData": {"mimeType": "audio/mp3", "data": "SUQz"}}),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
         {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}),
        ({"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/f1"}},
         {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f1"}}),
        ({"type": "file", "file": {"file_data": "gs://bucket/a.mp4"}}, {"fileData": {"fileUri": "gs://bucket/a.mp4"}}),
    ],
)  # fmt: skip
def test_parts_become_parts(part: dict[str, Any], sent: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}]
    assert body(messages)["contents"] == [{"role": "user", "parts": [sent, {"text": "What is it?"}]}]


@pytest.mark.parametrize(
    ("messages", "params", "config", "words"),
    [
        (USER, {"min_p": 0.1}, {}, "no setting 'min_p'"),
        (USER, {"repetition_penalty": 1.1}, {}, "no setting 'repetition_penalty'"),
        (USER, {"stop": list("abcdef")}, {}, "at most 5 texts"),
        (USER, {"reasoning_effort": "xhigh"}, {}, "minimal, low, medium, high"),
        (USER, {"reasoning_effort": "low"}, {"thinking_budget": 9}, "two things"),
        (USER, {"response_format": {"type": "grammar"}}, {}, "write {type: json_schema"),
        (USER, {"tool_choice": "maybe"}, {}, "tool_choice 'maybe'"),
        (USER, {"extra_body": {"contents": []}}, {}, "can't set contents"),
        (USER, {"temperature": 0.0, "extra_body": {"generationConfig": {"temperature": 1}}}, {},
         "can't set generationConfig"),
        ([*USER, {"role": "system", "content": "x"}], {}, {}, "before all others"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}], {}, {},
         "https:, gs: or data:"),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:;base64,AA=="}}]}], {}, {},
         "must name its type"),
        ([{"role": "user", "content": [{"type": "video"}]}], {}, {}, "no part of type 'video'"),
        ([*USER, {"role": "tool", "content": "4", "tool_call_id": "call_1"}], {}, {}, "it has: none"),
    ],
)  # fmt: skip
def test_what_can_not_be_asked_is_refused_before_it_is_sent(
    messages: Any, params: dict[str, Any], config: dict[str, Any], words: str, server: ScriptedServer
) -> None:
    engine = GoogleGemini(base_url=f"{server.origin}/v1beta", **config)
    (failure,) = outcomes(engine, [Request("small-1", messages, params)])
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("unsupported", False)
    assert words in failure.message
    assert server.count == 0
    if messages is USER:
        with pytest.raises(ValueError, match=r"\w"):
            engine.check_params(params)


def test_every_setting_is_sent_or_refused() -> None:
    known = {"temperature", "top_p", "top_k", "max_tokens", "stop", "seed", "n", "presence_penalty"}
    known |= {"frequency_penalty", "logprobs", "top_logprobs", "reasoning_effort", "response_format", "tools"}
    known |= {"tool_choice", "extra_body", "extras"}
    assert known | {"min_p", "repetition_penalty"} == InferenceParamsSpec.model_fields.keys()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"safety": {"rudeness": "none"}}, "'rudeness' is none of harassment, hate_speech"),
        ({"safety": {"harassment": "all"}}, "'all' is none of low_and_above"),
        ({"thinking_budget": -2}, "greater than or equal to -1"),
        ({"base_url": "https://h/v1beta?key=AIzaSyA0123456789abcdefghijklmnopqrstuv"}, "the address holds a key"),
        ({"headers": {"x-goog-api-key": "abc"}}, "looks like a secret"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GoogleGemini(**config)
    assert words in str(caught.value)
    assert "AIzaSy" not in str(caught.value)
