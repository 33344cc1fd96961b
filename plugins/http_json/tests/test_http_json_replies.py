"""Replies of services of all kinds, and what the paths make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from themis_core import EngineError, Generation, Request, Step, Usage
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer
from themis_plugin_http.engine import HttpJson

Make = Callable[..., HttpJson]
ANSWERED = "answered"

REPLIES: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("a field", {"text": "4"}, "text", {"text": "4"}),
    ("deep", {"a": {"b": [{"c": "4"}]}}, "a.b[0].c", {"text": "4"}),
    ("Hugging Face: a list", [{"generated_text": "4"}], "[0].generated_text", {"text": "4"}),
    ("a text alone", "4", "@", {"text": "4"}),
    ("a number", {"text": 4}, "text", {"text": "4"}),
    ("a fraction", {"text": 0.25}, "text", {"text": "0.25"}),
    ("a truth value", {"text": True}, "text", {"text": "true"}),
    ("joined", {"parts": [{"t": "a"}, {"t": "b"}]}, "join('', parts[].t)", {"text": "ab"}),
    ("the first that is there", {"b": "4"}, "a || b", {"text": "4"}),
    ("chosen", {"out": [{"role": "tool", "t": "x"}, {"role": "assistant", "t": "4"}]},
     "out[?role=='assistant'] | [-1].t", {"text": "4"}),
    ("Ollama's own", {"message": {"role": "assistant", "content": "4"}, "done_reason": "stop", "prompt_eval_count": 9,
                      "eval_count": 5},
     {"text": "message.content", "finish_reason": "done_reason",
      "usage": {"input_tokens": "prompt_eval_count", "output_tokens": "eval_count"}},
     {"text": "4", "finish_reason": "stop", "usage": Usage(9, 5)}),
    ("Cohere", {"message": {"content": [{"type": "text", "text": "4"}]}, "finish_reason": "COMPLETE",
                "usage": {"tokens": {"input_tokens": 9, "output_tokens": 5}}},
     {"text": "message.content[0].text", "finish_reason": "finish_reason",
      "usage": {"input_tokens": "usage.tokens.input_tokens", "output_tokens": "usage.tokens.output_tokens"}},
     {"text": "4", "usage": Usage(9, 5)}),
    ("TGI's own", {"generated_text": "one two", "details": {"finish_reason": "length", "generated_tokens": 2}},
     {"text": "generated_text", "finish_reason": "details.finish_reason"}, {"status": "truncated", "text": "one two"}),
    ("filtered", {"text": "", "why": "SAFETY"}, {"text": "text", "finish_reason": "why"}, {"status": "refused"}),
    ("filtered, no text", {"why": "content_filter"}, {"text": "text", "finish_reason": "why"},
     {"status": "refused", "text": ""}),
    ("cut, no text", {"why": "max_tokens"}, {"text": "text", "finish_reason": "why"}, {"status": "truncated"}),
    ("a word of its own", {"text": "x", "state": "gave_up"},
     {"text": "text", "finish_reason": "state", "statuses": {"gave_up": "refused"}},
     {"status": "refused", "finish_reason": "gave_up"}),
    ("a word of its own, no text", {"state": "gave_up"},
     {"text": "text", "finish_reason": "state", "statuses": {"gave_up": "refused"}}, {"status": "refused", "text": ""}),
    ("an own word for cut", {"text": "x", "state": "error"},
     {"text": "text", "finish_reason": "state", "statuses": {"error": "truncated"}}, {"status": "truncated"}),
    ("an own word, and nothing visible", {"text": " ", "state": "ok"},
     {"text": "text", "finish_reason": "state", "statuses": {"ok": "answered"}}, {"status": "empty"}),
    ("a refusal", {"refused": "No."}, {"text": "text", "refusal": "refused"},
     {"status": "refused", "refusal": "No.", "text": ""}),
    ("no refusal", {"text": "4", "refused": ""}, {"text": "text", "refusal": "refused"}, {"text": "4"}),
    ("said not to be refused", {"text": "4", "blocked": False}, {"text": "text", "refusal": "blocked"},
     {"text": "4", "refusal": None}),
    ("said to be refused", {"text": "", "blocked": True}, {"text": "text", "refusal": "blocked"},
     {"status": "refused", "refusal": "true"}),
    ("empty", {"text": ""}, "text", {"status": "empty"}),
    ("reasoning", {"text": "4", "thought": "2 and 2"}, {"text": "text", "reasoning": "thought"},
     {"text": "4", "reasoning": "2 and 2"}),
    ("a cost", {"text": "4", "usd": 0.5}, {"text": "text", "cost": "usd"}, {"cost": 0.5}),
    ("no cost", {"text": "4"}, {"text": "text", "cost": "usd"}, {"cost": None}),
    ("counts that are none", {"text": "4", "n": -1, "m": "5"},
     {"text": "text", "usage": {"input_tokens": "n", "output_tokens": "m"}}, {"usage": Usage()}),
    ("a count beyond all", {"text": "4", "n": 10**400}, {"text": "text", "usage": {"input_tokens": "n"}},
     {"usage": Usage()}),
    ("counts as fractions", {"text": "4", "n": 9.0}, {"text": "text", "usage": {"input_tokens": "n"}},
     {"usage": Usage(9)}),
    ("kept", {"text": "4", "meta": {"v": "1.2"}}, {"text": "text", "provider": {"version": "meta.v", "no": "x"}},
     {"provider": {"version": "1.2"}}),
    ("steps", {"text": "4", "trace": [{"kind": "tool_call", "name": "add", "input": {"a": 2}, "output": 4,
                                       "seconds": 0.5, "cost": 1}, {"kind": "dance", "more": 1}]},
     {"text": "text", "steps": "trace"},
     {"steps": (Step("tool_call", "add", {"a": 2}, 4, 0.5, 1.0), Step("other"))}),
    ("steps made of others", {"text": "4", "docs": [{"id": "d1"}]},
     {"text": "text", "steps": "docs[].{kind: 'retrieval', name: id}"}, {"steps": (Step("retrieval", "d1"),)}),
    ("error is no error here", {"error": "the answer"}, "error", {"text": "the answer"}),
    ("message is the answer", {"message": "4"}, "message", {"text": "4"}),
    ("unknown finish reason", {"text": "4", "why": "whim"}, {"text": "text", "finish_reason": "why"},
     {"text": "4", "finish_reason": "whim"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "reply", "expected"), [each[1:] for each in REPLIES], ids=[each[0] for each in REPLIES]
)
def test_a_reply_is_read(
    body: Any, reply: Any, expected: dict[str, Any], make: Make, asked: Request, server: ScriptedServer
) -> None:
    body = f'"{body}"' if isinstance(body, str) else body
    server.reset({"faults": [{"body": body}]})
    (answer,) = outcomes(make(reply), [asked])
    assert isinstance(answer, Generation), answer
    expected = {"status": ANSWERED} | expected
    assert {name: getattr(answer, name) for name in expected} == expected


FAILURES: list[tuple[str, dict[str, Any], Any, str, bool, str]] = [
    ("nothing there", {"body": {"txet": "4", "id": 1}}, "text", "invalid_reply", False, "it has: id, txet"),
    ("null", {"body": {"text": None}}, "text", "invalid_reply", False, "finds nothing"),
    ("an empty object", {"body": {}}, "text", "invalid_reply", False, "an empty object"),
    ("a list", {"body": [1, 2]}, "text", "invalid_reply", False, "a list of 2"),
    ("an object", {"body": {"text": {"a": 1}}}, "text", "invalid_reply", False, "finds an object"),
    ("several", {"body": {"text": ["a", "b"]}}, "text", "invalid_reply", False, "join"),
    ("not to be followed", {"body": {"a": 1}}, "join('', a)", "invalid_reply", False, "can't be followed"),
    ("a cost that is none", {"body": {"text": "4", "usd": "free"}}, {"text": "text", "cost": "usd"}, "invalid_reply",
     False, "reply.cost finds no number"),
    ("steps that are none", {"body": {"text": "4", "s": "x"}}, {"text": "text", "steps": "s"}, "invalid_reply", False,
     "no list of objects"),
    ("a cost beyond all", {"body": {"text": "4", "usd": 10**400}}, {"text": "text", "cost": "usd"}, "invalid_reply",
     False, "reply.cost finds no number"),
    ("an error in a 200", {"body": {"error": "boom"}}, {"text": "text", "error": "error"}, "invalid_reply", True,
     "boom"),
    ("an error with a status", {"body": {"error": {"code": 429, "message": "slow down"}}},
     {"text": "text", "error": "error"}, "rate_limited", True, "slow down"),
    ("broken off", {"body": {"text": "half", "why": "error"}}, {"text": "text", "finish_reason": "why"},
     "server_error", True, "broke the answer off"),
    ("no JSON", {"body": "four"}, "text", "invalid_reply", True, "not JSON"),
    ("a page", {"body": "<html>"}, "text", "invalid_reply", True, "a page for people"),
    ("a stream", {"body": "data: {}\n\n"}, "text", "invalid_reply", False, "stream of events"),
    ("400", {"status": 400, "body": {"detail": [{"msg": "field required"}]}}, "text", "bad_request", False,
     "field required"),
    ("401", {"status": 401, "body": {"message": "no key"}}, "text", "unauthorized", False, "no key"),
    ("404", {"status": 404, "body": "no such page"}, "text", "not_found", False, "/ask"),
    ("429", {"status": 429, "headers": {"Retry-After": "7"}}, "text", "rate_limited", True, "429"),
    ("500", {"status": 500, "body": "Traceback"}, "text", "server_error", True, "Traceback"),
    ("503", {"status": 503}, "text", "overloaded", True, "503"),
    ("redirect", {"redirect": "http://other.example/"}, "text", "redirect", False, "other.example"),
    ("cut", {"body": {"text": "4"}, "cut": -3}, "text", "connection", True, "broke"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "reply", "code", "retryable", "words"),
    [each[1:] for each in FAILURES],
    ids=[each[0] for each in FAILURES],
)
def test_a_failure_says_what_is_wrong(
    fault: dict[str, Any], reply: Any, code: str, retryable: bool, words: str, make: Make, asked: Request,
    server: ScriptedServer,
) -> None:  # fmt: skip
    server.reset({"faults": [fault]})
    (error,) = outcomes(make(reply), [asked])
    assert isinstance(error, EngineError), error
    assert (error.code, error.retryable) == (code, retryable)
    assert words in error.message
    assert error.retry_after == (7.0 if "headers" in fault else None)


def test_all_steps_are_handed_on_so_that_what_is_left_out_is_counted(
    make: Make, asked: Request, server: ScriptedServer
) -> None:
    server.reset({"faults": [{"body": {"text": "4", "s": [{"name": "look"}] * 1_200}}]})
    (answer,) = outcomes(make({"text": "text", "steps": "s"}), [asked])
    assert isinstance(answer, Generation)
    assert len(answer.steps) == 1_200


def test_there_are_forty_cases() -> None:
    assert len(REPLIES) + len(FAILURES) >= 40


def test_tokens_of_a_reply_that_is_no_answer_are_told(make: Make, asked: Request, server: ScriptedServer) -> None:
    server.reset({"faults": [{"body": {"n": 9}}]})
    (error,) = outcomes(make({"text": "text", "usage": {"input_tokens": "n"}}), [asked])
    assert isinstance(error, EngineError)
    assert error.usage == Usage(9)


def test_names_in_a_reply_show_no_key(make: Make, asked: Request, server: ScriptedServer, key: str) -> None:
    server.reset({"faults": [{"body": {key: 1, key[:12]: 2}}]})
    (error,) = outcomes(make(api_key_env="MY_API_KEY"), [asked])
    assert isinstance(error, EngineError)
    assert key[:12] not in error.message
    assert "[redacted]" in error.message
