"""What goes over the wire: exact bodies and headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from themis_core import EngineError, Generation, InferenceParamsSpec, Request
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat, OpenAICompletions

Ask = Callable[..., list[Generation | EngineError]]
USER = [{"role": "user", "content": "2 + 2?"}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
EVERYTHING: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "max_tokens": 64,
    "stop": ["\n\n", "END"],
    "seed": 7,
    "n": 2,
    "presence_penalty": 0.1,
    "frequency_penalty": -0.2,
    "repetition_penalty": 1.1,
    "logprobs": True,
    "top_logprobs": 3,
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "tools": TOOLS,
    "tool_choice": "auto",
    "extra_body": {"guided_regex": "[0-9]+", "user": "lab"},
    "extras": {"verbosity": "low"},
}


def test_every_setting_is_known_to_this_table() -> None:
    assert EVERYTHING.keys() == InferenceParamsSpec.model_fields.keys()


def test_all_settings_of_a_chat_are_on_the_wire(server: ScriptedServer, chat: OpenAIChat, ask: Ask) -> None:
    ask(chat, Request("small-1", USER, InferenceParamsSpec(**EVERYTHING).given()))
    (served,) = server.requests()
    extra = {**EVERYTHING["extra_body"], **EVERYTHING["extras"]}
    plain = {name: value for name, value in EVERYTHING.items() if name not in ("extra_body", "extras")}
    assert (served.method, served.path) == ("POST", "/v1/chat/completions")
    assert served.body == {"model": "small-1", "messages": USER, **plain, **extra}


def test_all_settings_of_a_text_completion_are_on_the_wire(server: ScriptedServer, ask: Ask) -> None:
    params = {name: value for name, value in EVERYTHING.items() if name not in ("tools", "tool_choice")}
    ask(OpenAICompletions(base_url=server.base_url), Request("small-1", USER, params))
    (served,) = server.requests()
    extra = {**params.pop("extra_body"), **params.pop("extras")}
    del params["top_logprobs"]
    assert served.path == "/v1/completions"
    assert served.body == {"model": "small-1", "prompt": "2 + 2?", **params, "logprobs": 3, **extra}


@pytest.mark.parametrize(
    ("params", "seed", "sent"),
    [
        ({}, None, {}),
        ({"seed": 7}, None, {"seed": 7}),
        ({"seed": 7}, 11, {"seed": 11}),
        ({}, 0, {"seed": 0}),
        ({"temperature": 0.0}, None, {"temperature": 0.0}),
        ({"top_logprobs": 2}, None, {"logprobs": True, "top_logprobs": 2}),
        ({"logprobs": False}, None, {"logprobs": False}),
        ({"extra_body": {"seed": 1}}, 11, {"seed": 1}),
    ],
)
def test_what_is_not_set_is_not_sent(
    params: dict[str, Any], seed: int | None, sent: dict[str, Any], server: ScriptedServer, chat: OpenAIChat, ask: Ask
) -> None:
    ask(chat, Request("small-1", USER, params, seed=seed))
    assert server.requests()[0].body == {"model": "small-1", "messages": USER, **sent}


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({"logprobs": True}, {"logprobs": 1}),
        ({"logprobs": True, "top_logprobs": 0}, {"logprobs": 0}),
        ({"top_logprobs": 5}, {"logprobs": 5}),
        ({"logprobs": False}, {}),
    ],
)
def test_log_probabilities_of_text_completions_are_a_number(
    params: dict[str, Any], sent: dict[str, Any], server: ScriptedServer, ask: Ask
) -> None:
    ask(OpenAICompletions(base_url=server.base_url), Request("small-1", USER, params))
    assert server.requests()[0].body == {"model": "small-1", "prompt": "2 + 2?", **sent}


def test_max_tokens_goes_under_the_configured_name(server: ScriptedServer, ask: Ask) -> None:
    engine = OpenAIChat(base_url=server.base_url, max_tokens_field="max_completion_tokens")
    ask(engine, Request("small-1", USER, {"max_tokens": 9}))
    assert server.requests()[0].body == {"model": "small-1", "messages": USER, "max_completion_tokens": 9}


def test_images_are_parts_of_a_message(server: ScriptedServer, chat: OpenAIChat, ask: Ask) -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": None}},
    ]
    ask(chat, Request("small-1", [{"role": "user", "content": content}]))
    sent = server.requests()[0].body["messages"][0]["content"]
    assert sent == [*content[:2], {"type": "image_url", "image_url": {"url": "https://h/a.png"}}]


def test_a_large_image_is_sent_whole(server: ScriptedServer, chat: OpenAIChat, ask: Ask) -> None:
    url = "data:image/png;base64," + "A" * 3_000_000
    ask(chat, Request("small-1", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]))
    (served,) = server.requests()
    assert served.body["messages"][0]["content"][0]["image_url"]["url"] == url
    assert "transfer-encoding" not in served.headers


@pytest.mark.parametrize(
    "text", ["NUL \0 in it", "lone \ud800 surrogate", "ﷺ 🏳️‍🌈 \u202e", "\r\n\x1b[2J", "x" * 500_000]
)
def test_any_text_comes_back_as_it_went(
    text: str, chat: OpenAIChat, ask: Ask, request_of: Callable[..., Request]
) -> None:
    (answer,) = ask(chat, request_of(text))
    assert isinstance(answer, Generation)
    assert answer.text == text


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([{"role": "user", "content": "Q: 1?\nA:"}], "Q: 1?\nA:"),
        (
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Q: 1?"},
                {"role": "assistant", "content": "A: 1"},
                {"role": "user", "content": [{"type": "text", "text": "Q: "}, {"type": "text", "text": "2?"}]},
            ],
            "Be brief.|Q: 1?|A: 1|Q: 2?",
        ),
    ],
)
def test_the_prompt_of_a_text_completion_is_the_text_of_the_messages(
    messages: list[dict[str, Any]], prompt: str, server: ScriptedServer, ask: Ask
) -> None:
    ask(OpenAICompletions(base_url=server.base_url, separator="|"), Request("small-1", messages))
    assert server.requests()[0].body == {"model": "small-1", "prompt": prompt}


@pytest.mark.parametrize(
    ("kind", "content", "params", "words"),
    [
        (OpenAICompletions, "a", {"tools": TOOLS}, "this engine has no setting 'tools'"),
        (OpenAIChat, "a", {"best_of": 2}, "this engine has no setting 'best_of'"),
        (OpenAIChat, "a", {"extra_body": {"stream": True}}, "write `stream: true`"),
        (OpenAICompletions, [{"type": "image_url", "image_url": {"url": "https://h"}}], {}, "take no images"),
        (OpenAIChat, [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}], {}, "https: or data:"),
    ],
)
def test_what_can_not_be_asked_is_refused_before_it_is_sent(
    kind: type[OpenAIChat],
    content: Any,
    params: dict[str, Any],
    words: str,
    server: ScriptedServer,
    ask: Ask,
    request_of: Callable[..., Request],
) -> None:
    (error,) = ask(kind(base_url=server.base_url), request_of(content, **params))
    assert isinstance(error, EngineError)
    assert (error.code, error.retryable) == ("unsupported", False)
    assert words in error.message
    assert server.count == 0


def test_the_headers_are_these(
    key: str,
    server: ScriptedServer,
    ask: Ask,
    request_of: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_KEY", "azure-secret-000111")
    engine = OpenAIChat(
        base_url=server.base_url,
        organization="org-1",
        project="proj-2",
        headers={"X-Title": "bench"},
        headers_env={"api-key": "AZURE_KEY"},
    )
    ask(engine, request_of())
    headers = server.requests()[0].headers
    assert int(headers.pop("content-length")) > 0
    assert headers == {
        "host": server.origin.removeprefix("http://"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "themis-plugin-openai",
        "openai-organization": "org-1",
        "openai-project": "proj-2",
        "x-title": "bench",
        "api-key": "azure-secret-000111",
        "authorization": f"Bearer {key}",
    }


def test_no_key_is_sent_where_none_is_wanted(
    server: ScriptedServer, ask: Ask, request_of: Callable[..., Request]
) -> None:
    ask(OpenAIChat(base_url=server.base_url, api_key_env=None), request_of())
    assert "authorization" not in server.requests()[0].headers


def test_cookies_of_one_reply_do_not_go_along_with_the_next_request(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: Callable[..., Request]
) -> None:
    server.reset({"faults": [{"at": 1, "headers": {"Set-Cookie": "a=b; Path=/"}}]})
    ask(chat, [request_of(), request_of()])
    assert ["cookie" in served.headers for served in server.requests()] == [False, False]
