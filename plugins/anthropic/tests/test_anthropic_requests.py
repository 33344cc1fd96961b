"""What goes over the wire: exact bodies, and what is refused before anything is sent."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import EngineError, InferenceParamsSpec, Request
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer
from themis_plugin_anthropic.engine import AnthropicMessages

USER = [{"role": "user", "content": "2 + 2?"}]
SAID = [{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
FORM = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA, "strict": True}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA, "strict": True}}
OWN_TOOL = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 2}}
TEXT = "data:text/markdown;base64," + base64.b64encode("é".encode()).decode()
PNG, PDF = "data:image/png;base64,iVBORw0KGgo=", "data:application/pdf;base64,JVBERi0="


def body(
    messages: list[dict[str, Any]] | None = None, params: dict[str, Any] | None = None, **config: Any
) -> dict[str, Any]:
    settings = {"max_tokens": 64, **(params or {})}
    return AnthropicMessages(**config).body(Request("small-1", USER if messages is None else messages, settings))


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({}, {}),
        ({"temperature": 0.0, "top_p": 0.9, "top_k": 40}, {"temperature": 0.0, "top_p": 0.9, "top_k": 40}),
        ({"stop": ["END"]}, {"stop_sequences": ["END"]}),
        ({"stop": []}, {}),
        ({"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}),
        ({"response_format": FORM}, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
        ({"response_format": {"type": "json_schema", "schema": SCHEMA}, "reasoning_effort": "max"},
         {"output_config": {"effort": "max", "format": {"type": "json_schema", "schema": SCHEMA}}}),
        ({"response_format": {"type": "text"}}, {}),
        ({"tools": [TOOL]},
         {"tools": [{"name": "add", "description": "Adds.", "input_schema": SCHEMA, "strict": True}]}),
        ({"tools": [{"type": "function", "function": {"name": "now"}}]},
         {"tools": [{"name": "now", "input_schema": {"type": "object", "properties": {}}}]}),
        ({"tools": [OWN_TOOL]}, {"tools": [OWN_TOOL]}),
        ({"tools": [{"name": "add", "input_schema": SCHEMA}]}, {"tools": [{"name": "add", "input_schema": SCHEMA}]}),
        ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}},
         {"tool_choice": {"type": "tool", "name": "add"}}),
        ({"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
         {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}),
        ({"extra_body": {"service_tier": "standard_only"}, "extras": {"metadata": {"user_id": "lab"}}},
         {"service_tier": "standard_only", "metadata": {"user_id": "lab"}}),
        ({"reasoning_effort": "low", "extra_body": {"output_config": {"task_budget": {"type": "tokens", "total": 9}}}},
         {"output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}}),
        ({"n": 1, "logprobs": False}, {}),
    ],
)  # fmt: skip
def test_settings_are_sent_under_the_names_of_messages(params: dict[str, Any], sent: dict[str, Any]) -> None:
    assert body(params=params) == {"model": "small-1", "max_tokens": 64, "messages": SAID, **sent}


@pytest.mark.parametrize(
    ("config", "params", "sent"),
    [
        ({"thinking": "adaptive"}, {}, {"thinking": {"type": "adaptive"}}),
        ({"thinking": "disabled"}, {}, {"thinking": {"type": "disabled"}}),
        ({"thinking": "adaptive", "thinking_display": "omitted"}, {},
         {"thinking": {"type": "adaptive", "display": "omitted"}}),
        ({"thinking": "adaptive"}, {"temperature": 1, "top_p": 0.95, "tool_choice": "auto"},
         {"thinking": {"type": "adaptive"}, "temperature": 1, "top_p": 0.95, "tool_choice": {"type": "auto"}}),
        ({"thinking": "disabled"}, {"temperature": 0.0}, {"thinking": {"type": "disabled"}, "temperature": 0.0}),
        ({"thinking_budget": 2048}, {"max_tokens": 4096}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ({"thinking_budget": 1024, "thinking_display": "summarized"}, {"max_tokens": 4096},
         {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"}}),
        ({"structured_by": "tool"}, {"response_format": FORM},
         {"tools": [{"name": "structured_answer", "description": "Give your answer by this tool.",
                     "input_schema": SCHEMA}],
          "tool_choice": {"type": "tool", "name": "structured_answer"}}),
    ],
)  # fmt: skip
def test_the_config_adds_its_part(config: dict[str, Any], params: dict[str, Any], sent: dict[str, Any]) -> None:
    whole = {"model": "small-1", "max_tokens": 64, "messages": SAID, **sent}
    assert body(params=params, **config) == whole | {"max_tokens": params.get("max_tokens", 64)}


TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "2 + 2?"},
]
TURNS = [
    {"role": "user", "content": [{"type": "text", "text": "1 + 1?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "2"}]},
    {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]},
]


def test_the_system_prompt_stands_apart() -> None:
    sent = body(TALK)
    assert (sent["system"], sent["messages"]) == ("Be brief.\n\nBe kind.", TURNS)


def test_the_ends_of_what_is_to_be_cached_are_marked() -> None:
    mark = {"type": "ephemeral"}
    sent = body(TALK, {"tools": [TOOL, OWN_TOOL]}, cache=["tools", "system", "history", "prompt"])
    assert [each.get("cache_control") for each in sent["tools"]] == [None, mark]
    assert sent["system"] == [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "Be kind.", "cache_control": mark},
    ]
    assert [each["content"][-1].get("cache_control") for each in sent["messages"]] == [None, mark, mark]
    hour = body(TALK, cache=["prompt"], cache_ttl="1h")["messages"]
    assert [each["content"][-1].get("cache_control") for each in hour] == [
        None,
        None,
        {"type": "ephemeral", "ttl": "1h"},
    ]
    assert "cache_control" not in str(body([], {}, cache=["tools", "system", "history", "prompt"]))


def test_what_is_cached_changes_no_identity_and_what_is_thought_does() -> None:
    plain = AnthropicMessages().identity()
    assert AnthropicMessages(cache=["system"], cache_ttl="1h").identity() == plain
    for config in ({"thinking": "adaptive"}, {"thinking_budget": 2048}, {"anthropic_beta": ["x"]}):
        assert AnthropicMessages(**config).identity() != plain  # type: ignore[arg-type]


@pytest.mark.parametrize("result", [{"tool_call_id": "toolu_1"}, {"tool_call_id": "call_1"}])
def test_calls_and_results_of_tools_are_blocks(result: dict[str, Any]) -> None:
    messages = [
        *USER,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
        {"role": "tool", "content": "4", **result},
        {"role": "user", "content": "So?"},
    ]
    assert body(messages)["messages"] == [
        *SAID,
        {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, USE]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "4"}]}]},
        {"role": "user", "content": [{"type": "text", "text": "So?"}]},
    ]  # fmt: skip


def test_results_of_one_answer_are_one_turn() -> None:
    messages = [
        *USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "toolu_2"}]},
        {"role": "tool", "content": "4", "tool_call_id": "toolu_1"},
        {"role": "tool", "content": [{"type": "image_url", "image_url": {"url": PNG}}], "tool_call_id": "call_2"},
    ]
    *_, answer, results = body(messages)["messages"]
    assert [each["id"] for each in answer["content"]] == ["toolu_1", "toolu_2"]
    assert [each["tool_use_id"] for each in results["content"]] == ["toolu_1", "toolu_2"]
    assert results["content"][1]["content"][0]["source"]["media_type"] == "image/png"


def test_signed_thinking_goes_back_as_it_came_and_no_mark_is_on_it(server: ScriptedServer) -> None:
    blocks = [{"type": "thinking", "thinking": "2", "signature": "s"}, {"type": "redacted_thinking", "data": "r"}, USE]
    messages = [
        *USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL], "handed_back": {"content": blocks}},
        {"role": "tool", "content": "4", "tool_call_id": "toolu_1"},
    ]
    outcomes(AnthropicMessages(base_url=server.origin), [Request("small-1", messages, {"max_tokens": 9})])
    assert server.requests()[0].messages[1] == {"role": "assistant", "content": blocks}
    marked = body(messages, cache=["history"])["messages"][1]["content"]
    assert [("cache_control" in each) for each in marked] == [False, False, True]
    assert "cache_control" not in blocks[2]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
         {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}),
        ({"type": "image_url", "image_url": {"url": "https://h/a.png"}},
         {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}}),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
         {"type": "document", "title": "a.pdf",
          "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}),
        ({"type": "file", "file": {"file_data": TEXT}},
         {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}}),
        ({"type": "file", "file": {"file_data": "https://h/a.pdf"}},
         {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}}),
        ({"type": "file", "file": {"file_id": "file_01"}},
         {"type": "document", "source": {"type": "file", "file_id": "file_01"}}),
    ],
)  # fmt: skip
def test_parts_become_blocks(part: dict[str, Any], block: dict[str, Any]) -> None:
    text = {"type": "text", "text": "What is it?"}
    sent = body([{"role": "user", "content": [part, text, {"type": "text", "text": ""}]}])
    assert sent["messages"] == [{"role": "user", "content": [block, text]}]


REFUSED: list[tuple[Any, dict[str, Any], dict[str, Any], str]] = [
    (USER, {"max_tokens": None}, {}, "want `max_tokens`"),
    (USER, {"seed": 7}, {}, "no setting 'seed'"),
    (USER, {"n": 2}, {}, "no setting 'n'"),
    (USER, {"logprobs": True}, {}, "no setting 'logprobs'"),
    (USER, {"top_logprobs": 3}, {}, "no setting 'top_logprobs'"),
    (USER, {"min_p": 0.1}, {}, "no setting 'min_p'"),
    (USER, {"presence_penalty": 0.1}, {}, "leave_out: [presence_penalty]"),
    (USER, {"frequency_penalty": 0.1}, {}, "no setting 'frequency_penalty'"),
    (USER, {"repetition_penalty": 1.1}, {}, "no setting 'repetition_penalty'"),
    (USER, {"temperature": 1.5}, {}, "from 0 to 1"),
    (USER, {"response_format": {"type": "json_object"}}, {}, "no JSON without a schema"),
    (USER, {"response_format": {"type": "grammar"}}, {}, "write {type: json_schema"),
    (USER, {"tools": [{"type": "function", "function": {}}]}, {}, "needs a name"),
    (USER, {"tool_choice": "maybe"}, {}, "tool_choice 'maybe'"),
    (USER, {"extra_body": {"stream": True}}, {}, "not streamed"),
    (USER, {"extra_body": {"messages": []}}, {}, "can't set messages"),
    (USER, {"extras": {"output_config": {"effort": "low"}}, "reasoning_effort": "low"}, {}, "can't set output_config"),
    (USER, {}, {"thinking_budget": 1024}, "max_tokens (64) must be above thinking_budget (1024)"),
    (USER, {"temperature": 0.0}, {"thinking": "adaptive"}, "takes none but 1 as temperature"),
    (USER, {"max_tokens": 4096, "temperature": 0.7}, {"thinking_budget": 1024}, "leave_out: [temperature]"),
    (USER, {"top_p": 0.9}, {"thinking": "adaptive"}, "only from 0.95 to 1 as top_p"),
    (USER, {"top_k": 40}, {"thinking": "adaptive"}, "takes none as top_k"),
    (USER, {"tool_choice": "required"}, {"thinking": "adaptive"}, "only auto and none as tool_choice"),
    (USER, {"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"thinking": "adaptive"}, "auto and none"),
    (USER, {"tool_choice": {"type": "tool", "name": "f"}}, {"thinking": "adaptive"}, "auto and none"),
    ([{"role": "system", "content": "Be brief."}], {}, {}, "beside the system's"),
    (USER, {"response_format": FORM}, {"structured_by": "tool", "thinking": "adaptive"}, "rule out"),
    (USER, {"response_format": FORM, "tool_choice": "auto"}, {"structured_by": "tool"}, "rule out"),
    ([*USER, {"role": "system", "content": "x"}], {}, {}, "before all others"),
    ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}], {}, {},
     "no audio"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}], {}, {},
     "begin with https: or data:"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}}]}], {}, {},
     "image/webp, and not image/tiff"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,AA"}}]}], {}, {},
     "data:TYPE;base64"),
    ([{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:audio/wav;base64,AA"}}]}], {}, {},
     "application/pdf, and not audio/wav"),
    ([{"role": "user", "content": [{"type": "video"}]}], {}, {}, "no part of type 'video'"),
    ([*USER, {"role": "tool", "content": "4", "tool_call_id": "toolu_9"}], {}, {}, "it has: none"),
    ([{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}], {}, {},
     "arguments that are a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "params", "config", "words"), REFUSED)
def test_what_can_not_be_asked_is_refused_before_it_is_sent(
    messages: Any, params: dict[str, Any], config: dict[str, Any], words: str, server: ScriptedServer
) -> None:
    given = {name: value for name, value in {"max_tokens": 64, **params}.items() if value is not None}
    engine = AnthropicMessages(base_url=server.origin, **config)
    (failure,) = outcomes(engine, [Request("small-1", messages, given)])
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("unsupported", False)
    assert words in failure.message
    assert server.count == 0
    if messages is USER:
        with pytest.raises(ValueError, match=r"\w"):
            engine.check_params(given)


def test_every_setting_is_sent_or_refused() -> None:
    refused = {"seed", "n", "logprobs", "top_logprobs", "min_p"}
    refused |= {"presence_penalty", "frequency_penalty", "repetition_penalty"}
    known = {"max_tokens", "temperature", "top_p", "top_k", "stop", "reasoning_effort", "response_format", "tools"}
    assert refused | known | {"tool_choice", "extra_body", "extras"} == InferenceParamsSpec.model_fields.keys()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"thinking": "adaptive", "thinking_budget": 2048}, "leave out `thinking`, or the budget"),
        ({"thinking_display": "omitted"}, "needs `thinking: adaptive`"),
        ({"thinking": "disabled", "thinking_display": "omitted"}, "needs `thinking: adaptive`"),
        ({"thinking_budget": 12}, "greater than or equal to 1024"),
        ({"cache": ["system", "system"]}, "name each part once"),
        ({"cache": ["everything"]}, "'tools', 'system', 'history' or 'prompt'"),
        ({"anthropic_beta": ["a,b"]}, "write a list of names"),
        ({"anthropic_version": "é"}, "visible ASCII"),
        ({"headers": {"x-api-key": "abc"}}, "looks like a secret"),
        ({"api_key_env": "sk-ant-api03-abcdefghijklmnop"}, "never the key itself"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AnthropicMessages(**config)
    assert words in str(caught.value)
    assert "sk-ant-api03" not in str(caught.value)
