"""What replies become: a table of good ones and a table of bad ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from themis_core import EngineError, Generation, Usage
from themis_http.bodies import STREAM, json_object
from themis_http.failures import status_error
from themis_http.redaction import Redaction
from themis_plugin_openai.dialect import DIALECT
from themis_plugin_openai.reply import read_chat, read_completion

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


UNSAID = {"warning": "the server gave no finish_reason, so the answer counts as answered, and may be cut or filtered"}


def chat(message: Any, finish: Any = "stop", **more: Any) -> Generation:
    return read_chat({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more})


@pytest.mark.parametrize(
    ("message", "finish", "expected"),
    [
        ({"content": "4"}, "stop", Generation("answered", text="4", finish_reason="stop")),
        ({"content": "4"}, None, Generation("answered", text="4", provider=UNSAID)),
        ({"content": None}, "content_filter: PROHIBITED_CONTENT",
         Generation("refused", finish_reason="content_filter: PROHIBITED_CONTENT")),
        (None, "content_filter", Generation("refused", finish_reason="content_filter")),
        ({"content": "4", "refusal": None, "tool_calls": None}, "stop",
         Generation("answered", "4", finish_reason="stop")),
        ({"content": "so f"}, "length", Generation("truncated", text="so f", finish_reason="length")),
        ({"content": None, "reasoning_content": "hm"}, "length",
         Generation("truncated", reasoning="hm", finish_reason="length")),
        ({"content": None}, "length", Generation("truncated", finish_reason="length")),
        ({"content": ""}, "stop", Generation("empty", finish_reason="stop")),
        ({"content": " \n"}, "stop", Generation("empty", text=" \n", finish_reason="stop")),
        ({"content": None, "reasoning": "hm"}, "stop", Generation("empty", reasoning="hm", finish_reason="stop")),
        ({"content": None, "refusal": "I can't."}, "stop",
         Generation("refused", refusal="I can't.", finish_reason="stop")),
        ({"content": "par"}, "content_filter", Generation("refused", text="par", finish_reason="content_filter")),
        ({"content": None}, "content_filter", Generation("refused", finish_reason="content_filter")),
        ({"content": None, "tool_calls": [CALL]}, "tool_calls",
         Generation("answered", tool_calls=(CALL,), finish_reason="tool_calls")),
        # Reasoning apart from the answer, under each of its names; tags in the text are an extractor's business.
        ({"content": "4", "reasoning_content": "2+2"}, "stop",
         Generation("answered", "4", reasoning="2+2", finish_reason="stop")),
        ({"content": "4", "reasoning": "2+2"}, "stop",
         Generation("answered", "4", reasoning="2+2", finish_reason="stop")),
        ({"content": "4", "reasoning": {"effort": 1}}, "stop", Generation("answered", "4", finish_reason="stop")),
        ({"content": "<think>2+2</think>4"}, "stop",
         Generation("answered", "<think>2+2</think>4", finish_reason="stop")),
        ({"content": [{"type": "reasoning", "text": "2"}, {"type": "text", "text": "4"},
                      {"type": "text", "text": "!"}]},
         "stop", Generation("answered", "4!", reasoning="2", finish_reason="stop")),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "2"}]},
                      {"type": "text", "text": "4"}]},
         "stop", Generation("answered", "4", reasoning="2", finish_reason="stop")),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "stop",
         Generation("refused", refusal="No.", finish_reason="stop")),
        ({"content": []}, "stop", Generation("empty", finish_reason="stop")),
    ],
)  # fmt: skip
def test_a_message_becomes_this_generation(message: Any, finish: Any, expected: Generation) -> None:
    assert chat(message, finish) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 3}, Usage(12, 3)),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 30,
                "completion_tokens_details": {"reasoning_tokens": 20},
                "prompt_tokens_details": {"cached_tokens": 8},
            },
            Usage(12, 30, 20, 8),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        ({"prompt_tokens": 1000.0, "completion_tokens": 2e1}, Usage(1000, 20)),
        ({"prompt_tokens": float("inf"), "completion_tokens": -1.0}, Usage()),
        ({"total_tokens": 15}, Usage()),
        (None, Usage()),
        ("many", Usage()),
        ({}, Usage()),
        ({"prompt_tokens": -1, "completion_tokens": 10**12}, Usage()),
        ({"prompt_tokens": True, "completion_tokens": "three"}, Usage()),
        ({"prompt_tokens": 1.5, "completion_tokens": float("nan")}, Usage()),
        ({"prompt_tokens": 5, "prompt_tokens_details": [6], "completion_tokens_details": None}, Usage(5)),
    ],
)
def test_token_counts_are_the_servers_or_none(usage: Any, expected: Usage) -> None:
    assert chat({"content": "4"}, usage=usage).usage == expected


def test_further_choices_are_kept_in_their_order() -> None:
    choices = [{"index": index, "message": {"content": text}} for index, text in ((2, "c"), (0, "a"), (1, "b"))]
    generation = read_chat({"choices": choices})
    assert (generation.text, generation.alternatives) == ("a", ("b", "c"))
    completion = read_completion({"choices": [{"text": "a"}, {"text": "b"}]})
    assert (completion.text, completion.alternatives) == ("a", ("b",))


def test_what_the_provider_says_of_itself_is_kept() -> None:
    said = {"id": "r1", "model": "small-1-0613", "system_fingerprint": "fp", "created": 5, "object": "chat.completion"}
    assert chat({"content": "4"}, **said).provider == {
        "id": "r1",
        "model": "small-1-0613",
        "system_fingerprint": "fp",
    }
    assert chat({"content": "4"}, id=7, model=None).provider == {}


TOKENS = (
    {"token": "4", "logprob": -0.1, "top_logprobs": [{"token": "4", "logprob": -0.1}, {"token": "5", "logprob": -3.0}]},
    {"token": "!", "logprob": -0.5, "top_logprobs": []},
)


def test_log_probabilities_of_a_chat_are_one_dict_per_token() -> None:
    content = [
        {
            "token": "4",
            "logprob": -0.1,
            "bytes": [52],
            "top_logprobs": [
                {"token": "4", "logprob": -0.1, "bytes": [52]},
                {"token": "5", "logprob": -3.0, "bytes": [53]},
            ],
        },
        {"token": "!", "logprob": -0.5},
    ]
    choice = {"message": {"content": "4!"}, "finish_reason": "stop", "logprobs": {"content": content}}
    assert read_chat({"choices": [choice]}).logprobs == TOKENS


def test_log_probabilities_of_a_text_completion_have_the_same_shape() -> None:
    logprobs = {"tokens": ["4", "!"], "token_logprobs": [-0.1, -0.5], "top_logprobs": [{"4": -0.1, "5": -3.0}, None]}
    generation = read_completion({"choices": [{"text": "4!", "finish_reason": "stop", "logprobs": logprobs}]})
    assert generation == Generation("answered", text="4!", finish_reason="stop", logprobs=TOKENS)


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        (None, None),
        ({"content": None}, None),
        ({"content": []}, None),
        ({"content": [{"token": "a"}]}, None),
        ({"content": [{"token": 5, "logprob": 0.0}]}, None),
        ("high", None),
        # JSON as Python reads it may hold infinities; what is stored may not.
        ({"content": [{"token": "a", "logprob": float("-inf")}]},
         ({"token": "a", "logprob": None, "top_logprobs": []},)),
    ],
)  # fmt: skip
def test_log_probabilities_that_can_not_be_read_leave_the_answer_alone(logprobs: Any, expected: Any) -> None:
    choice = {"message": {"content": "4"}, "finish_reason": "stop", "logprobs": logprobs}
    assert read_chat({"choices": [choice]}) == Generation("answered", "4", finish_reason="stop", logprobs=expected)


def bad_chat(**message: Any) -> str:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})


NOT_JSON = "the reply is not JSON"
HTML = "the reply is HTML, a page for people (called: http://h/v1/chat/completions)"


@pytest.mark.parametrize(
    ("content", "retryable", "words"),
    [
        (b"", True, NOT_JSON),
        (b"{", True, NOT_JSON),
        (b'{"choices": [{"message": {"content": "4', True, NOT_JSON),
        (b'{"choices": []} {"choices": []}', True, NOT_JSON),
        (b'\xff\xfe{"choices": []}', True, NOT_JSON),
        (b'{"choices": [{"message": {"content": "\xc3\x28"}}]}', True, NOT_JSON),
        (b"<!doctype html><title>Sign in</title>", True, HTML),
        (b"[" * 100_000, True, "the reply is nested too deeply"),
        (b'{"a":' * 100_000, True, "the reply is nested too deeply"),
        (b'{"x": ' + b"9" * 5000 + b"}", True, NOT_JSON),
        (b"null", False, "the reply is not a JSON object"),
        (b'"4"', False, "the reply is not a JSON object"),
        (b"[]", False, "the reply is not a JSON object"),
        (b"{}", False, "the reply has no choices"),
        (b'{"choices": null}', False, "the reply has no choices; it has: choices"),
        (b'{"choices": []}', False, "the reply has no choices; it has: choices"),
        (b'{"message": {"role": "assistant", "content": "4"}, "done": true}', False,
         "the reply has no choices; it has: message"),
        (b'{"candidates": [], "sk-canary": 1}', False, "the reply has no choices; it has: candidates"),
        (b'{"id": "job-7", "status": "queued"}', False, "the reply has no choices; it has: id, status"),
        (b'{"output": [{"type": "message"}], "object": "response"}', False,
         "the reply has no choices; it has: object, output"),
        (b'data: {"choices": []}\n\ndata: [DONE]', False, STREAM),
        (b'\n\nevent: message\ndata: {}', False, STREAM),
        (b': OPENROUTER PROCESSING\n\ndata: {}', False, STREAM),
        (b'id: 1\ndata: {}', False, STREAM),
        (b'\xef\xbb\xbf<html>', True, HTML),
        (b'{"choices": [{"index": 0, "delta": {"content": "4"}}]}', False,
         "a choice has no message; it has: delta, index"),
        (b'{"choices": {"0": {}}}', False, "the reply has no choices; it has: choices"),
        (b'{"choices": ["4"]}', False, "a choice is not an object"),
        (b'{"choices": [{}]}', False, "a choice has no message"),
        (b'{"choices": [{"text": "4"}]}', False, "a choice has no message; it has: text"),
        (bad_chat(content=None), False, "the message has no content"),
        (bad_chat(), False, "the message has no content"),
        (bad_chat(content=4), False, "the content is neither text nor a list of parts"),
        (bad_chat(content={"text": "4"}), False, "the content is neither text nor a list of parts"),
        (bad_chat(content=["4"]), False, "the content has a part that is neither text, reasoning nor refusal"),
        (bad_chat(content=[{"type": "image"}]), False,
         "the content has a part that is neither text, reasoning nor refusal"),
        (bad_chat(content=[{"type": "text"}]), False, "a part of the content has no text"),
        (bad_chat(content="", tool_calls="add"), False, "tool_calls is not a list of objects"),
        (bad_chat(content="", tool_calls=[{"x": float("inf")}]), False,
         "tool_calls holds a number that is not finite, or is nested too deeply"),
        (b'{"error": "bad\\u001b[2J luck"}', True, "a 200 with an error in it: bad[2J luck"),
    ],
)  # fmt: skip
def test_a_reply_against_the_protocol_is_an_error(content: bytes | str, retryable: bool, words: str) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(EngineError) as caught:
        read_chat(json_object(raw, Redaction(()), "http://h/v1/chat/completions", dialect=DIALECT))
    error = caught.value
    assert (error.code, error.message, error.retryable, error.status) == ("invalid_reply", words, retryable, 200)
    assert error.unknown_outcome == (words in (NOT_JSON, HTML, "the reply is nested too deeply"))


BILLED = {"prompt_tokens": 10, "completion_tokens": 5.0}


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_chat, {"choices": []}),
        (read_chat, {"choices": [{"message": {"content": [{"type": "image"}]}}]}),
        (read_chat, {"choices": [{"error": {"message": "it broke off"}}]}),
        (read_completion, {"choices": [{"message": {"content": "4"}}]}),
        (read_chat, {"error": "the model broke off"}),
    ],
)
def test_a_reply_that_is_no_answer_says_what_was_billed_for_it(read: Any, body: dict[str, Any]) -> None:
    for usage, expected in [(BILLED, Usage(10, 5)), (None, None), ({"total_tokens": 15}, None), ("15", None)]:
        with pytest.raises(EngineError) as caught:
            read(json_object(json.dumps({**body, "usage": usage}).encode(), Redaction(()), dialect=DIALECT))
        assert (caught.value.code, caught.value.usage) == ("invalid_reply", expected)


def test_a_message_without_content_that_was_billed_is_an_empty_answer_and_costs_what_it_says() -> None:
    for message in ({"content": None}, {}, {"content": None, "tool_calls": []}):
        assert chat(message, usage=BILLED) == Generation("empty", finish_reason="stop", usage=Usage(10, 5))


def test_a_byte_order_mark_before_the_json_is_passed_over() -> None:
    assert json_object(b'\xef\xbb\xbf {"choices": []}', Redaction(()), dialect=DIALECT) == {"choices": []}


def test_an_error_of_the_server_says_what_was_billed_for_it() -> None:
    body = json.dumps({"error": {"code": "content_filter"}, "usage": {**BILLED, "completion_tokens": 0}})
    assert status_error(400, {}, body.encode(), Redaction(()), dialect=DIALECT).usage == Usage(10, 0)
    assert status_error(400, {}, b"[]", Redaction(()), dialect=DIALECT).usage is None


def test_a_text_completion_without_text_is_an_error() -> None:
    with pytest.raises(EngineError, match="a choice has no text"):
        read_completion({"choices": [{"message": {"content": "4"}}]})


def test_duplicate_keys_and_unknown_fields_do_no_harm() -> None:
    raw = b'{"choices": 1, "choices": [{"message": {"content": "4", "audio": 1}}], "extra": {"deep": [1e400]}}'
    assert read_chat(json_object(raw, Redaction(()), dialect=DIALECT)) == Generation(
        "answered", text="4", provider=UNSAID
    )
