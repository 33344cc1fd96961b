"""Well-known servers: what each needs in its config, and what it answers; the page on servers lists them all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from themis_core import HANDED_BACK, EngineError, Generation, Request, Usage
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat

PAGE = (Path(__file__).parents[3] / "docs" / "servers.md").read_text("utf-8")
Ask = Callable[..., list[Generation | EngineError]]
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}


class Case(NamedTuple):
    """A server's config, its reply to `MESSAGES`, and what is to be made of it."""

    server: str
    extras: dict[str, Any]
    reply: Any
    text: str = "4"
    reasoning: str | None = None
    usage: Usage = Usage()
    sent: dict[str, Any] = {}
    """What the body must have."""
    status: str = "answered"


def said(finish: str | None = "stop", usage: dict[str, Any] | None = None, **message: Any) -> dict[str, Any]:
    body = {"id": "r1", "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}]}
    return body | ({"usage": usage} if usage else {})


def stream(*chunks: Any, end: str = "data: [DONE]\n\n") -> str:
    return "".join(each if isinstance(each, str) else f"data: {json.dumps(each)}\n\n" for each in chunks) + end


def delta(finish: str | None = None, **given: Any) -> dict[str, Any]:
    return {"id": "r1", "choices": [{"index": 0, "delta": given, "finish_reason": finish}]}


COUNTS = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
DEVELOPER = [{"role": "developer", "content": "Be brief."}, MESSAGES[1]]
IN_USER = [{"role": "user", "content": "Be brief.\n\n2 + 2?"}]

CASES = [
    Case(
        "OpenAI, reasoning models",
        {"max_tokens_field": "max_completion_tokens", "system_role": "developer"},
        said(content="4", usage=COUNTS | {"completion_tokens_details": {"reasoning_tokens": 4}}),
        usage=Usage(9, 5, 4),
        sent={"messages": DEVELOPER, "max_completion_tokens": 64},
    ),
    Case("vLLM", {}, said(content="4", reasoning="2 and 2", usage=COUNTS), reasoning="2 and 2", usage=Usage(9, 5)),
    Case(
        "vLLM",
        {},
        said(content="4", reasoning_content="2 and 2", stop_reason=None, usage=COUNTS),
        reasoning="2 and 2",
        usage=Usage(9, 5),
    ),
    Case(
        "vLLM, model without a system role",
        {"system_role": "user"},
        said(content="4", tool_calls=[], usage=COUNTS),
        usage=Usage(9, 5),
        sent={"messages": IN_USER},
    ),
    Case("SGLang", {}, said(finish={"type": "stop", "matched": 2}, content="4", usage=COUNTS), usage=Usage(9, 5)),  # type: ignore[arg-type]
    Case("Ollama", {}, said(content="4", reasoning="2 and 2", usage=COUNTS), reasoning="2 and 2", usage=Usage(9, 5)),
    Case(
        "llama.cpp",
        {},
        said(content="4", reasoning_content="2 and 2", usage=COUNTS) | {"timings": {"prompt_n": 9}},
        reasoning="2 and 2",
        usage=Usage(9, 5),
    ),
    Case(
        "LM Studio",
        {"reasoning_tag": "think"},
        said(content="<think>\n2 and 2\n</think>\n\n4", usage=COUNTS),
        reasoning="2 and 2",
        usage=Usage(9, 5),
    ),
    Case("TGI", {}, said(finish="eos_token", content="4", usage=COUNTS), usage=Usage(9, 5)),
    Case(
        "DeepSeek",
        {},
        said(
            content="4", reasoning_content="2 and 2",
            usage=COUNTS | {"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
        ),
        reasoning="2 and 2",
        usage=Usage(9, 5, None, 4),
    ),
    Case(
        "Groq",
        {"stream": True},
        stream(delta(role="assistant", content=""), delta(reasoning="2 and 2"), delta(content="4"),
               delta("stop") | {"x_groq": {"id": "q", "usage": COUNTS}}),
        reasoning="2 and 2",
        usage=Usage(9, 5),
        sent={"stream": True},
    ),
    Case(
        "Together",
        {"reasoning_tag": "think"},
        said(finish="eos", content="2 and 2</think>4", usage=COUNTS),
        reasoning="2 and 2",
        usage=Usage(9, 5),
    ),
    Case(
        "Mistral",
        {"seed_field": "random_seed", "stream_usage": False},
        said(
            content=[{"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]},
                     {"type": "text", "text": "4"}],
            usage=COUNTS,
        ),
        reasoning="2 and 2",
        usage=Usage(9, 5),
        sent={"random_seed": 7},
    ),
    Case(
        "OpenRouter",
        {"stream": True},
        stream(": OPENROUTER PROCESSING\n\n", delta(role="assistant", content="4", reasoning="2 and 2"),
               ": OPENROUTER PROCESSING\n\n", delta("stop", content=""), {"choices": [], "usage": COUNTS}),
        reasoning="2 and 2",
        usage=Usage(9, 5),
    ),
    Case(
        "xAI",
        {},
        said(
            content="4", reasoning_content="2 and 2", refusal=None,
            usage={"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 104,
                   "completion_tokens_details": {"reasoning_tokens": 94}},
        ),
        reasoning="2 and 2",
        usage=Usage(9, 95, 94),
    ),
    Case(
        "Moonshot",
        {"hand_back": ["reasoning_content"]},
        said(finish="tool_calls", content=None, reasoning_content="add them", tool_calls=[CALL], usage=COUNTS),
        text="",
        reasoning="add them",
        usage=Usage(9, 5),
    ),
    Case(
        "DashScope",
        {"stream": True},
        stream(delta(role="assistant", content=None, reasoning_content="2 "), delta(reasoning_content="and 2"),
               delta(content="4"), delta("stop"), {"choices": [], "usage": COUNTS}),
        reasoning="2 and 2",
        usage=Usage(9, 5),
        sent={"stream_options": {"include_usage": True}},
    ),
    Case(
        "Gemini, compatible interface",
        {},
        said(content="4", usage={"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 40}),
        usage=Usage(9, 31),
    ),
]  # fmt: skip
ROWS = dict(re.findall(r"^\| ([^|`]+?) \| (.*?) \|", PAGE.partition("| if a server")[0], re.MULTILINE))


@pytest.mark.parametrize("carrier", ["pyreqwest", "httpx"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.server)
def test_a_server_is_understood_with_the_config_of_its_row(
    case: Case, carrier: Any, server: ScriptedServer, ask: Ask
) -> None:
    server.reset({"faults": [{"body": case.reply}]})
    chat = OpenAIChat(base_url=server.base_url, http_client=carrier, **case.extras)
    (answer,) = ask(chat, Request("m", MESSAGES, {"max_tokens": 64}, seed=7))
    assert isinstance(answer, Generation), answer
    assert (answer.status, answer.text, answer.reasoning) == (case.status, case.text, case.reasoning)
    assert answer.usage == case.usage
    (request,) = server.requests()
    assert request.body | case.sent == request.body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.server)
def test_the_page_has_the_config_of_each_server(case: Case) -> None:
    written = [yaml.safe_load(each) for each in re.findall(r"`(\{.*?\})`", ROWS[case.server])]
    extras: dict[str, Any] = {name: value for each in written for name, value in each.items()}
    assert case.extras.items() <= {"stream": True, "stream_usage": True, **extras}.items()


def test_the_page_lists_no_server_that_is_not_tried() -> None:
    assert ROWS.keys() - {"server", "---"} == {case.server for case in CASES}


@pytest.mark.parametrize(
    ("reply", "code", "retryable"),
    [
        ({"status": 503, "body": {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}},
         "overloaded", True),  # llama.cpp
        ({"status": 400, "body": {"error": {"code": 400, "message": "too large", "type": "exceed_context_size_error"}}},
         "context_length", False),  # llama.cpp
        ({"status": 422, "body": {"error": "Input validation error", "error_type": "validation"}},
         "bad_request", False),  # TGI
        ({"status": 429, "body": {"error": "Model is overloaded", "error_type": "overloaded"}}, "rate_limited", True),
        ({"status": 404, "body": {"error": {"message": 'model "x" not found, try pulling it first',
                                            "type": "api_error", "param": None, "code": None}}}, "not_found", False),
        ({"status": 402, "body": {"error": {"message": "Insufficient Balance", "type": "unknown_error"}}},
         "quota_exhausted", False),  # DeepSeek
        ({"status": 429, "body": [{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}]},
         "rate_limited", True),  # Gemini's compatible interface
        ({"status": 422, "body": {"object": "error",
                                  "message": {"detail": [{"type": "extra_forbidden", "msg": "no"}]}}},
         "bad_request", False),  # Mistral
        ({"body": {"error": {"message": "Provider returned error", "code": 502}}}, "server_error", True),  # OpenRouter
        ({"body": {"choices": [{"error": {"message": "overloaded", "code": 503}}]}}, "overloaded", True),
        ({"status": 400, "body": {"error": "Trying to keep the first 9 tokens; the context length is 8"}},
         "context_length", False),  # LM Studio
        ({"status": 400, "body": {"error": {"message": "This model only support stream mode", "type": "x"}}},
         "bad_request", False),  # DashScope
    ],
)  # fmt: skip
def test_errors_of_servers_have_their_codes(
    reply: dict[str, Any], code: str, retryable: bool, server: ScriptedServer, chat: OpenAIChat, ask: Ask
) -> None:
    server.reset({"faults": [reply]})
    (error,) = ask(chat, Request("m", MESSAGES, {}))
    assert isinstance(error, EngineError)
    assert (error.code, error.retryable) == (code, retryable)


def test_what_is_handed_back_is_in_the_message_of_the_next_turn(server: ScriptedServer, ask: Ask) -> None:
    reply = said(finish="tool_calls", content=None, reasoning_content="add", tool_calls=[CALL], usage=COUNTS)
    server.reset({"faults": [{"body": reply}]})
    chat = OpenAIChat(base_url=server.base_url, hand_back=["reasoning_content"])
    (first,) = ask(chat, Request("m", MESSAGES, {}))
    assert isinstance(first, Generation)
    assert first.provider[HANDED_BACK] == {"reasoning_content": "add"}
    turn = {"role": "assistant", "content": "", "tool_calls": [CALL], HANDED_BACK: first.provider[HANDED_BACK]}
    ask(chat, Request("m", [*MESSAGES, turn, {"role": "tool", "tool_call_id": "c1", "content": "4"}], {}))
    assert server.requests()[-1].body["messages"][2] == {
        "role": "assistant", "content": "", "tool_calls": [CALL], "reasoning_content": "add",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("role", "messages", "sent"),
    [
        ("system", DEVELOPER, MESSAGES),
        ("developer", MESSAGES, DEVELOPER),
        ("as_written", DEVELOPER, DEVELOPER),
        ("user", [*MESSAGES, {"role": "assistant", "content": "4"}, {"role": "system", "content": "Now in words."}],
         [*IN_USER, {"role": "assistant", "content": "4"}, {"role": "user", "content": "Now in words."}]),
        ("user", [MESSAGES[0], {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}],
         [{"role": "user", "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "\n\n"},
                                       {"type": "text", "text": "2 + 2?"}]}]),
    ],
)  # fmt: skip
def test_instructions_go_by_the_role_that_the_server_knows(
    role: Any, messages: list[Any], sent: list[Any], server: ScriptedServer, ask: Ask
) -> None:
    ask(OpenAIChat(base_url=server.base_url, system_role=role), Request("m", messages, {}))
    (request,) = server.requests()
    assert request.body["messages"] == sent


@pytest.mark.parametrize(
    ("content", "text", "reasoning", "status"),
    [
        ("<think>a</think>4", "4", "a", "answered"),
        ("  <think>\na\n</think>\n\n4 ", "4 ", "a", "answered"),
        ("a</think>4</think>5", "4</think>5", "a", "answered"),
        ("<think></think>4", "4", None, "answered"),
        ("4 <think>", "4 <think>", None, "answered"),
        ("<think>never closed", "", "never closed", "empty"),
        ("<thinking>a</thinking>4", "<thinking>a</thinking>4", None, "answered"),
    ],
)
def test_reasoning_in_a_tag_is_kept_apart(
    content: str, text: str, reasoning: str | None, status: str, server: ScriptedServer, ask: Ask
) -> None:
    server.reset({"faults": [{"body": said(content=content)}]})
    (answer,) = ask(OpenAIChat(base_url=server.base_url, reasoning_tag="think"), Request("m", MESSAGES, {}))
    assert isinstance(answer, Generation)
    assert (answer.text, answer.reasoning, answer.status) == (text, reasoning, status)


def test_what_is_not_used_leaves_the_identity_as_it_was() -> None:
    assert OpenAIChat().identity().keys() == {"base_url", "headers", "max_tokens_field"}
    used = OpenAIChat(system_role="user", stream=True, stream_usage=False, seed_field="random_seed").identity()
    assert used.keys() == {"base_url", "headers", "max_tokens_field", "seed_field", "system_role"}
