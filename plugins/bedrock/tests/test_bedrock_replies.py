"""What documented replies become: a table of good ones and a table of bad ones."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import EngineError, Generation, Usage, canonical_json
from themis_core.testing.hostile import mutated
from themis_plugin_bedrock.reply import read_converse, read_usage
from themis_plugin_bedrock.wire import from_plain

TEXT = {"text": "4"}
REASONING = {"reasoningContent": {"reasoningText": {"text": "two and two", "signature": "c2ln"}}}
UNSIGNED = {"reasoningContent": {"reasoningText": {"text": "two and two"}}}
REDACTED = {"reasoningContent": {"redactedContent": b"\x00\xff"}}
REDACTED_PLAIN = {"reasoningContent": {"redactedContent": {"$bytes": "AP8="}}}
USE = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Zürich"}}}
CALL = {"id": "tooluse_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'}}
SERVER_USE = {"toolUse": {"toolUseId": "t2", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
CITED = {"citationsContent": {"content": [{"text": "4"}, {"text": "!"}], "citations": [{"title": "a.pdf"}]}}


def reply(content: Any, reason: Any = "end_turn", **more: Any) -> dict[str, Any]:
    return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason, **more}


def unknown(reason: str, status: str = "answered") -> dict[str, str]:
    what = f"the finish_reason {reason!r} is not known"
    return {"warning": f"{what}, so the answer counts as {status}, and may be cut or filtered"}


def back(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"handed_back": {"content": [*blocks]}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (reply([TEXT]), Generation("answered", "4", finish_reason="end_turn")),
        (reply([TEXT, {"text": "!"}]), Generation("answered", "4!", finish_reason="end_turn")),
        (reply([]), Generation("empty", finish_reason="end_turn")),
        (reply([{"text": " "}]), Generation("empty", " ", finish_reason="end_turn")),
        (reply([{"text": ""}]), Generation("empty", finish_reason="end_turn")),
        # How it stopped.
        (reply([TEXT], "stop_sequence"), Generation("answered", "4", finish_reason="stop_sequence")),
        (reply([TEXT], "max_tokens"), Generation("truncated", "4", finish_reason="max_tokens")),
        (reply([], "max_tokens"), Generation("truncated", finish_reason="max_tokens")),
        (reply([TEXT], "model_context_window_exceeded"),
         Generation("truncated", "4", finish_reason="model_context_window_exceeded")),
        (reply([{"text": "Sorry, the model cannot answer this question."}], "guardrail_intervened"),
         Generation("refused", "Sorry, the model cannot answer this question.", finish_reason="guardrail_intervened")),
        (reply([], "guardrail_intervened", trace={"guardrail": {"actionReason": "Guardrail blocked."}}),
         Generation("refused", finish_reason="guardrail_intervened", provider={"guardrail": "Guardrail blocked."})),
        (reply([], "content_filtered"), Generation("refused", finish_reason="content_filtered")),
        (reply([TEXT], "content_filtered"), Generation("refused", "4", finish_reason="content_filtered")),
        (reply([], "malformed_model_output"), Generation("empty", finish_reason="malformed_model_output")),
        (reply([], "malformed_tool_use"), Generation("empty", finish_reason="malformed_tool_use")),
        (reply([TEXT], "malformed_tool_use"), Generation("answered", "4", finish_reason="malformed_tool_use")),
        (reply([TEXT], "refusal"), Generation("refused", "4", finish_reason="refusal")),
        (reply([TEXT], "new_reason"),
         Generation("answered", "4", finish_reason="new_reason", provider=unknown("new_reason"))),
        (reply([], "new_reason"),
         Generation("empty", finish_reason="new_reason", provider=unknown("new_reason", "empty"))),
        (reply([TEXT], None),
         Generation("answered", "4", provider={"warning": "the server gave no finish_reason, so the answer counts as "
                                                          "answered, and may be cut or filtered"})),
        # Tools.
        (reply([USE], "tool_use"), Generation("answered", tool_calls=(CALL,), finish_reason="tool_use")),
        (reply([TEXT, USE], "tool_use"), Generation("answered", "4", tool_calls=(CALL,), finish_reason="tool_use")),
        (reply([USE, USE], "tool_use"), Generation("answered", tool_calls=(CALL, CALL), finish_reason="tool_use")),
        (reply([USE], "max_tokens"), Generation("truncated", tool_calls=(CALL,), finish_reason="max_tokens")),
        (reply([{"toolUse": {"toolUseId": "t", "name": "now", "input": {}}}], "tool_use"),
         Generation("answered", finish_reason="tool_use", tool_calls=(
             {"id": "t", "type": "function", "function": {"name": "now", "arguments": "{}"}},))),
        (reply([SERVER_USE, TEXT]),
         Generation("answered", "4", finish_reason="end_turn", provider=back(SERVER_USE, TEXT))),
        (reply([{"toolResult": {"toolUseId": "t2", "content": []}}, TEXT]),
         Generation("answered", "4", finish_reason="end_turn",
                    provider=back({"toolResult": {"toolUseId": "t2", "content": []}}, TEXT))),
        # Reasoning, apart from the answer and kept for the next turn.
        (reply([REASONING, TEXT]),
         Generation("answered", "4", reasoning="two and two", finish_reason="end_turn",
                    provider=back(REASONING, TEXT))),
        (reply([UNSIGNED, TEXT]),
         Generation("answered", "4", reasoning="two and two", finish_reason="end_turn",
                    provider=back(UNSIGNED, TEXT))),
        (reply([REDACTED, TEXT]),
         Generation("answered", "4", finish_reason="end_turn", provider=back(REDACTED_PLAIN, TEXT))),
        (reply([REASONING, USE], "tool_use"),
         Generation("answered", reasoning="two and two", tool_calls=(CALL,), finish_reason="tool_use",
                    provider=back(REASONING, USE))),
        (reply([REASONING, REASONING], "max_tokens"),
         Generation("truncated", reasoning="two and two\n\ntwo and two", finish_reason="max_tokens",
                    provider=back(REASONING, REASONING))),
        (reply([REASONING]),
         Generation("empty", reasoning="two and two", finish_reason="end_turn", provider=back(REASONING))),
        # Citations, and what nobody knows.
        (reply([CITED]), Generation("answered", "4!", finish_reason="end_turn", provider=back(CITED))),
        (reply([TEXT, {"hologram": {}}]),
         Generation("answered", "4", finish_reason="end_turn", provider={
             **back(TEXT, {"hologram": {}}),
             "warning": "answers have blocks that are not known and count as nothing: hologram"})),
        (reply([TEXT, {"image": {"format": "png", "source": {"bytes": b"\x00"}}}]),
         Generation("answered", "4", finish_reason="end_turn", provider={
             **back(TEXT, {"image": {"format": "png", "source": {"bytes": {"$bytes": "AA=="}}}}),
             "warning": "answers have blocks that are not known and count as nothing: image"})),
        # What else it says.
        (reply([TEXT], ResponseMetadata={"RequestId": "r-1", "HTTPStatusCode": 200}, metrics={"latencyMs": 12}),
         Generation("answered", "4", finish_reason="end_turn", provider={"id": "r-1"})),
        (reply([TEXT], trace={"promptRouter": {"invokedModelId": "arn:aws:bedrock:eu-west-1::m"}}),
         Generation("answered", "4", finish_reason="end_turn", provider={"model": "arn:aws:bedrock:eu-west-1::m"})),
        (reply([TEXT], additionalModelResponseFields={"x": 1}, performanceConfig={"latency": "standard"}),
         Generation("answered", "4", finish_reason="end_turn")),
        (reply([TEXT], trace={"guardrail": {"inputAssessment": {}}}),
         Generation("answered", "4", finish_reason="end_turn")),
    ],
)  # fmt: skip
def test_a_reply_becomes_a_generation(data: dict[str, Any], expected: Generation) -> None:
    assert read_converse(data) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, Usage(10, 5)),
        # Beside the input, as the total says.
        ({"inputTokens": 4, "outputTokens": 5, "totalTokens": 1009, "cacheReadInputTokens": 1000},
         Usage(1004, 5, None, 1000)),
        ({"inputTokens": 4, "outputTokens": 5, "totalTokens": 1009, "cacheReadInputTokens": 800,
          "cacheWriteInputTokens": 200}, Usage(1004, 5, None, 800, 200)),
        ({"inputTokens": 4, "outputTokens": 5, "totalTokens": 9, "cacheReadInputTokens": 1000},
         Usage(1004, 5, None, 1000)),
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15, "cacheReadInputTokens": 0,
          "cacheWriteInputTokens": 0}, Usage(10, 5, None, 0, 0)),
        # Within the input, as the total says.
        ({"inputTokens": 1004, "outputTokens": 5, "totalTokens": 1009, "cacheReadInputTokens": 1000},
         Usage(1004, 5, None, 1000)),
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15,
          "cacheDetails": [{"ttl": "1h", "inputTokens": 3}]}, Usage(10, 5)),
        ({"outputTokens": 5}, Usage(None, 5)),
        ({"inputTokens": -1}, None),
        ({}, None),
        (None, None),
    ],
)  # fmt: skip
def test_tokens_are_counted_as_they_are_billed(usage: Any, expected: Usage | None) -> None:
    assert read_usage({"usage": usage}) == expected
    assert read_converse(reply([TEXT], usage=usage)).usage == (expected or Usage())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "the reply has no message"),
        ({"content": [], "id": "x"}, "the reply has no message; it has: content, id"),
        ({"output": {}}, "the reply has no message; it has: output"),
        ({"output": {"message": "4"}}, "the reply has no message; it has: output"),
        (reply("4"), "content is not a list of objects"),
        (reply(["4"]), "content is not a list of objects"),
        (reply([{"text": 4}]), "a block's text is no text"),
        (reply([{"toolUse": {"name": "f", "input": {}}}]), "a toolUse block has no id or no name"),
        (reply([{"toolUse": {"toolUseId": "t", "name": "f", "input": {"x": float("nan")}}}]),
         "content holds a number that is not finite, or is nested too deeply"),
    ],
)  # fmt: skip
def test_a_reply_of_the_wrong_shape_is_no_answer_and_is_billed(data: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError) as caught:
        read_converse({**data, "usage": {"inputTokens": 10, "outputTokens": 5}})
    error = caught.value
    assert (error.code, error.message, error.retryable) == ("invalid_reply", message, False)
    assert error.usage == Usage(10, 5)


def test_bytes_that_were_stored_are_bytes_again() -> None:
    assert from_plain([REDACTED_PLAIN, TEXT]) == [REDACTED, TEXT]


def test_a_reply_with_anything_wrong_in_it_is_an_answer_or_a_failure() -> None:
    trace = {"guardrail": {"actionReason": "a"}, "promptRouter": {"invokedModelId": "m"}}
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 1}
    whole = reply([REASONING, TEXT, USE, CITED], trace=trace, usage=usage, ResponseMetadata={"RequestId": "r"})
    changed = [(name, data) for name, data in mutated(whole) if isinstance(data, dict)]
    assert len(changed) > 400
    codes: set[str] = set()
    for name, data in changed:
        try:
            assert canonical_json(read_converse(data).to_dict()), name
        except EngineError as error:
            codes.add(error.code)
    assert codes == {"invalid_reply"}
