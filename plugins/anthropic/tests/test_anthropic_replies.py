"""What documented replies become: a table of good ones and a table of bad ones."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import EngineError, Generation, Usage, canonical_json
from themis_core.testing.hostile import mutated
from themis_plugin_anthropic.reply import meaning, read_message, read_usage
from themis_plugin_anthropic.wire import STRUCTURED_TOOL

TEXT = {"type": "text", "text": "4"}
THINKING = {"type": "thinking", "thinking": "two and two", "signature": "EqQBCgIYAhIM"}
OMITTED = {"type": "thinking", "thinking": "", "signature": "EosnCkYICxIMMb3LzNrMu"}
REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
USE = {"type": "tool_use", "id": "toolu_01A", "name": "get_weather", "input": {"city": "Zürich"}}
CALL = {
    "id": "toolu_01A",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'},
}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": "4"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": []}
CODE = {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_02", "content": {}}
COMPACTED = {"type": "compaction", "content": "They asked for 2 + 2."}
REFUSED = {"type": "refusal", "category": "bio", "explanation": "It asks for a pathogen."}


def message(content: Any, reason: Any = "end_turn", **more: Any) -> dict[str, Any]:
    return {"content": content, "stop_reason": reason, **more}


def unknown(reason: str) -> dict[str, str]:
    what = f"the finish_reason {reason!r} is not known"
    return {"warning": f"{what}, so the answer counts as answered, and may be cut or filtered"}


def kept(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"handed_back": {"content": [*blocks]}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (message([TEXT]), Generation("answered", "4", finish_reason="end_turn")),
        (message([TEXT, {"type": "text", "text": "!"}]), Generation("answered", "4!", finish_reason="end_turn")),
        (message([]), Generation("empty", finish_reason="end_turn")),
        (message([{"type": "text", "text": " \n"}]), Generation("empty", " \n", finish_reason="end_turn")),
        (message([{**TEXT, "citations": None}]), Generation("answered", "4", finish_reason="end_turn")),
        (message([{**TEXT, "citations": [{"type": "char_location", "cited_text": "4"}]}]),
         Generation("answered", "4", finish_reason="end_turn")),
        # How it stopped.
        (message([TEXT], "max_tokens"), Generation("truncated", "4", finish_reason="max_tokens")),
        (message([], "max_tokens"), Generation("truncated", finish_reason="max_tokens")),
        (message([TEXT], "stop_sequence", stop_sequence="END"),
         Generation("answered", "4", finish_reason="stop_sequence", provider={"stop_sequence": "END"})),
        (message([TEXT], "pause_turn"), Generation("truncated", "4", finish_reason="pause_turn")),
        (message([TEXT], "model_context_window_exceeded"),
         Generation("truncated", "4", finish_reason="model_context_window_exceeded")),
        (message([], "refusal"), Generation("refused", finish_reason="refusal")),
        (message([TEXT], "refusal"), Generation("refused", "4", finish_reason="refusal")),
        (message([], "refusal", stop_details=REFUSED),
         Generation("refused", refusal="It asks for a pathogen.", finish_reason="refusal",
                    provider={"refusal_category": "bio"})),
        (message([TEXT], "refusal", stop_details={"type": "refusal", "category": None, "explanation": None}),
         Generation("refused", "4", finish_reason="refusal")),
        (message([COMPACTED], "compaction"),
         Generation("truncated", finish_reason="compaction", provider=kept(COMPACTED))),
        (message([COMPACTED, TEXT]), Generation("answered", "4", finish_reason="end_turn",
                                                provider=kept(COMPACTED, TEXT))),
        (message([TEXT], "rest"), Generation("answered", "4", finish_reason="rest", provider=unknown("rest"))),
        (message([TEXT], None),
         Generation("answered", "4", provider={"warning": "the server gave no finish_reason, so the answer counts as "
                                                          "answered, and may be cut or filtered"})),
        # Tools.
        (message([USE], "tool_use"), Generation("answered", tool_calls=(CALL,), finish_reason="tool_use")),
        (message([TEXT, USE], "tool_use"), Generation("answered", "4", tool_calls=(CALL,), finish_reason="tool_use")),
        (message([USE, {**USE, "id": "toolu_01B", "input": {}}], "tool_use"),
         Generation("answered", finish_reason="tool_use", tool_calls=(
             CALL, {"id": "toolu_01B", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}))),
        (message([USE], "max_tokens"), Generation("truncated", tool_calls=(CALL,), finish_reason="max_tokens")),
        (message([{**USE, "name": STRUCTURED_TOOL, "input": {"n": 4}}], "tool_use"),
         Generation("answered", '{"n": 4}', finish_reason="tool_use")),
        (message([SEARCH, FOUND, TEXT]),
         Generation("answered", "4", finish_reason="end_turn", provider=kept(SEARCH, FOUND, TEXT))),
        (message([SEARCH, CODE], "pause_turn"),
         Generation("truncated", finish_reason="pause_turn", provider=kept(SEARCH, CODE))),
        # Thinking, apart from the answer and kept for the next turn.
        (message([THINKING, TEXT]),
         Generation("answered", "4", reasoning="two and two", finish_reason="end_turn", provider=kept(THINKING, TEXT))),
        (message([THINKING, TEXT, THINKING, TEXT]),
         Generation("answered", "44", reasoning="two and two\n\ntwo and two", finish_reason="end_turn",
                    provider=kept(THINKING, TEXT, THINKING, TEXT))),
        (message([OMITTED, TEXT]),
         Generation("answered", "4", finish_reason="end_turn", provider=kept(OMITTED, TEXT))),
        (message([REDACTED, TEXT]),
         Generation("answered", "4", finish_reason="end_turn", provider=kept(REDACTED, TEXT))),
        (message([THINKING], "max_tokens"),
         Generation("truncated", reasoning="two and two", finish_reason="max_tokens", provider=kept(THINKING))),
        (message([THINKING, USE], "tool_use"),
         Generation("answered", reasoning="two and two", tool_calls=(CALL,), finish_reason="tool_use",
                    provider=kept(THINKING, USE))),
        (message([THINKING]),
         Generation("empty", reasoning="two and two", finish_reason="end_turn", provider=kept(THINKING))),
        # What a later version of the interface may bring.
        (message([TEXT, {"type": "hologram", "x": 1}]),
         Generation("answered", "4", finish_reason="end_turn", provider={
             **kept(TEXT, {"type": "hologram", "x": 1}),
             "warning": "answers have blocks that are not known and count as nothing: hologram"})),
        # What else it says.
        (message([TEXT], id="msg_01", model="claude-x", role="assistant", type="message", container=None),
         Generation("answered", "4", finish_reason="end_turn", provider={"id": "msg_01", "model": "claude-x"})),
        (message([TEXT], id="m" * 900), Generation("answered", "4", finish_reason="end_turn",
                                                   provider={"id": "m" * 200})),
    ],
)  # fmt: skip
def test_a_reply_becomes_a_generation(data: dict[str, Any], expected: Generation) -> None:
    assert read_message(data) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        ({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
         Usage(10, 5, None, 0, 0)),
        ({"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 17},
         Usage(100, 5, None, 80, 17)),
        ({"input_tokens": 3, "output_tokens": 5, "cache_creation_input_tokens": 90,
          "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 60}},
         Usage(93, 5, None, None, 90)),
        ({"input_tokens": 3, "output_tokens": 5,
          "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 60}},
         Usage(93, 5, None, None, 90)),
        ({"input_tokens": 3, "output_tokens": 5, "cache_creation_input_tokens": None, "cache_creation": None},
         Usage(3, 5)),
        # Thinking is billed as output, and told within it.
        ({"input_tokens": 3, "output_tokens": 500, "output_tokens_details": {"thinking_tokens": 450}},
         Usage(3, 500, 450)),
        ({"input_tokens": 3, "output_tokens": 5, "server_tool_use": {"web_search_requests": 1},
          "service_tier": "standard", "inference_geo": "eu"}, Usage(3, 5)),
        # A summary that the provider made is billed, and the totals leave it out.
        ({"input_tokens": 23, "output_tokens": 10, "iterations": [
            {"type": "compaction", "input_tokens": 180, "output_tokens": 35, "cache_read_input_tokens": 20},
            {"type": "message", "input_tokens": 23, "output_tokens": 10}]}, Usage(223, 45, None, 20)),
        ({"input_tokens": 23, "output_tokens": 10, "iterations": [
            {"type": "message", "input_tokens": 23, "output_tokens": 10}]}, Usage(23, 10)),
        ({"input_tokens": 23, "output_tokens": 10, "iterations": "two"}, Usage(23, 10)),
        ({"output_tokens": 5}, Usage(None, 5)),
        ({"input_tokens": -1, "output_tokens": 1e300}, None),
        ({}, None),
        (None, None),
        ("many", None),
    ],
)  # fmt: skip
def test_tokens_are_counted_as_they_are_billed(usage: Any, expected: Usage | None) -> None:
    assert read_usage({"usage": usage}) == expected
    assert read_message(message([TEXT], usage=usage)).usage == (expected or Usage())


USED = {"usage": {"input_tokens": 10, "output_tokens": 5}}


@pytest.mark.parametrize(
    ("data", "message_of_error"),
    [
        ({}, "the reply has no content"),
        ({"choices": [], "id": "x"}, "the reply has no content; it has: choices, id"),
        ({"content": "4", "stop_reason": "end_turn"}, "the reply has no content; it has: content"),
        (message(["4"]), "content is not a list of objects"),
        (message([{"type": "text"}]), "a block of type text has no text"),
        (message([{"type": "text", "text": 4}]), "a block of type text has no text"),
        (message([{"type": "thinking"}]), "a block of type thinking has no text"),
        (message([{"type": "tool_use", "name": "f", "input": {}}]), "a tool_use block has no id or no name"),
        (message([{"type": "tool_use", "id": "c"}]), "a tool_use block has no id or no name"),
        (message([{"type": "tool_use", "id": "c", "name": "f", "input": {"x": float("nan")}}]),
         "content holds a number that is not finite, or is nested too deeply"),
    ],
)  # fmt: skip
def test_a_reply_of_the_wrong_shape_is_no_answer_and_is_billed(data: dict[str, Any], message_of_error: str) -> None:
    with pytest.raises(EngineError) as caught:
        read_message({**data, **USED})
    error = caught.value
    assert (error.code, error.message, error.retryable) == ("invalid_reply", message_of_error, False)
    assert error.usage == Usage(10, 5)


def test_a_reply_with_anything_wrong_in_it_is_an_answer_or_a_failure() -> None:
    whole = message([THINKING, TEXT, USE, SEARCH], "refusal", id="m", stop_details=REFUSED, stop_sequence="END")
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation": {"x": 1}, "output_tokens_details": {"x": 1}}
    changed = [(name, data) for name, data in mutated({**whole, "usage": usage}) if isinstance(data, dict)]
    assert len(changed) > 400
    codes: set[str] = set()
    for name, data in changed:
        try:
            assert canonical_json(read_message(data).to_dict()), name
        except EngineError as error:
            codes.add(error.code)
    assert codes == {"invalid_reply"}


def test_an_error_with_anything_wrong_in_it_has_a_meaning_or_none() -> None:
    for name, data in mutated({"type": "error", "error": {"type": "invalid_request_error", "message": "No."}}):
        assert meaning(400, data) in (None, ("bad_request", False)), name


def test_what_is_billed_beside_tokens_is_told() -> None:
    searched = message([SEARCH, FOUND, TEXT], usage={"server_tool_use": {"web_search_requests": 2}})
    assert "beside tokens" in read_message(searched).provider["warning"]
    assert (
        "warning" not in read_message(message([TEXT], usage={"server_tool_use": {"web_search_requests": 0}})).provider
    )
