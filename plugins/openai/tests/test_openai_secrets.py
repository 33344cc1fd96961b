"""The key is in no error, whatever a server does with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from themis_core import EngineError, Generation, Request
from themis_core.testing.secrets import ENCODINGS, assert_hidden, everything_said
from themis_core.testing.server import ScriptedServer
from themis_http.config import secrets_of
from themis_http.redaction import Redaction
from themis_plugin_openai.engines import OpenAIChat

Ask = Callable[..., list[Generation | EngineError]]
RequestOf = Callable[..., Request]

KEYS = ["sk-canary-5f3a9c71d2e84b60", "p/w+with=odd&chars%and\"quotes'", "AZ" * 16, "0123456789abcdef" * 4]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("name", "encoded"), ENCODINGS, ids=[name for name, _ in ENCODINGS])
def test_a_message_that_quotes_the_key_is_redacted(key: str, name: str, encoded: Callable[[str], str]) -> None:
    redacted = Redaction([key]).message(f"Incorrect API key provided: {encoded(key)}. Get one at our site.")
    assert_hidden(key, redacted)
    assert key[:6] + "***" not in redacted
    assert redacted.startswith("Incorrect API key provided: ")
    assert "[redacted]" in redacted or len(redacted) == 300


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("sk-canary-5f3a9c71", "key sk-canary-5f3a9c71 is wrong", "key [redacted] is wrong"),
        ("sk-canary-5f3a9c71", "SK-CANARY-5F3A9C71 sk-canary-5f3a9c71", "[redacted] [redacted]"),
        ("EMPTY", "key EMPTY is wrong, empty", "key [redacted] is wrong, [redacted]"),
        ("x", "text", "text"),
        ("sk-canary-5f3a9c71", "nothing to hide, 2 * 3 ** 4", "nothing to hide, 2 * 3 ** 4"),
    ],
)
def test_the_rest_of_a_message_stays(secret: str, text: str, shown: str) -> None:
    assert Redaction([secret]).message(text) == shown


@pytest.mark.parametrize("word", ["a" * 4000, "a*" * 2000, "a**" * 1300])
def test_a_long_word_takes_no_longer_than_many_short_ones(word: str) -> None:
    redaction = Redaction(["sk-canary-5f3a9c71"])
    began = time.process_time()
    for _ in range(20):
        redaction.message(word)
    assert time.process_time() - began < 2  # it took 5 s where each letter was a beginning


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("sk-canary-5f3a9c71", ["sk-canary-5f3a9c71"]),
        ("Bearer sk-canary-5f3a9c71", ["sk-canary-5f3a9c71"]),
        ("Bearer", ["Bearer"]),
        ("EMPTY", ["EMPTY"]),
        ("Basic dXNlcjpwYXNzd29yZA==", ["dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA", "user:password", "password"]),
        ("Basic bm9uZQ==", ["bm9uZQ==", "bm9uZQ", "none"]),
        ("Basic not-base64", ["not-base64"]),
        ("token 5f3a9c71d2e8 v1", ["5f3a9c71d2e8 v1", "5f3a9c71d2e8"]),
        (
            "session=5f3a9c71d2e8; theme=dark",
            ["session=5f3a9c71d2e8; theme=dark", "session", "5f3a9c71d2e8"],
        ),
        ("id=a1,key=5f3a9c71d2e8\tab12cd", ["id=a1,key=5f3a9c71d2e8\tab12cd", "5f3a9c71d2e8", "ab12cd"]),
    ],
)
def test_a_header_is_secret_as_a_whole_and_part_by_part(value: str, secrets: list[str]) -> None:
    assert secrets_of({"x-secret": value}) == secrets
    assert secrets_of({"x-secret": value, "x-again": value}) == secrets


@pytest.mark.parametrize(("name", "encoded"), ENCODINGS, ids=[name for name, _ in ENCODINGS])
def test_no_value_of_a_cookie_is_shown(name: str, encoded: Callable[[str], str]) -> None:
    first, second = KEYS[0], "canary-0a1b2c3d4e5f"
    redaction = Redaction(secrets_of({"cookie": f"session={first}; login={second}; theme=dark"}))
    for value in (first, second):
        said = redaction.message(f"denied: {encoded(value)}, though the theme is dark")
        assert_hidden(value, said)
        assert said.endswith("though the theme is dark") or len(said) == 300


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401, "echo_authorization": True},
        {"status": 429, "echo_authorization": True},
        {"status": 500, "body": "<html><title>{key}</title>"},
        {"status": 500, "body": "proxy says: {key}"},
        {"status": 418, "body": {"detail": [{"msg": "bad header {key}"}]}},
        {"status": 307, "redirect": "http://h/{key}?k={key}"},
        {"raw": "{key} {key} {key}\r\n\r\n"},
        {"raw": "HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n"},
        {"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n"},
        {"raw": "HTTP/1.1 200 {key}\r\nX {key}\r\n\r\n"},
        {"status": 200, "body": {"error": {"message": "upstream refused {key}"}}},
        {"status": 200, "body": "{key}"},
        {"status": 200, "body": {"choices": "{key}"}},
        {"status": 200, "headers": {"Content-Encoding": "{key}"}},
        {"cut": 0},
    ],
    ids=lambda fault: json.dumps(fault)[:40],
)
def test_no_error_shows_the_key_that_a_server_echoes(
    fault: dict[str, Any], key: str, server: ScriptedServer, ask: Ask, request_of: RequestOf, monkeypatch: Any
) -> None:
    other = "azure-canary-0a1b2c3d4e5f"
    monkeypatch.setenv("AZURE_KEY", other)
    with_key = json.loads(json.dumps(fault).replace("{key}", f"{key} {other}"))
    server.reset({"faults": [with_key]})
    engine = OpenAIChat(base_url=server.base_url, headers_env={"api-key": "AZURE_KEY"})
    (failure,) = ask(engine, request_of())
    assert isinstance(failure, EngineError)
    said = everything_said(failure)
    assert_hidden(key, said)
    assert_hidden(other, said)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("OTHER_API_KEY", "other-canary-0a1b2c3d", "other-canary-0a1b2c3d"),
        ("HF_TOKEN", "hf_canary0a1b2c3d4e", "hf_canary0a1b2c3d4e"),
        ("PGPASSWORD", "pg-canary-77aa", "pg-canary-77aa"),
        ("MY_STORE", "postgresql://me:store-canary@db.internal/themis", "store-canary"),
        ("DATABASE_URL", "postgresql://me:p%40ss-canary-9@db.internal/themis", "p@ss-canary-9"),
        ("AWS_SECRET_ACCESS_KEY", "aws/canary+0a1b2c3d4e5f", "aws/canary+0a1b2c3d4e5f"),
        ("http_proxy_of_another", "http://me:proxy-canary@proxy:3128", "proxy-canary"),
    ],
)
def test_a_key_of_another_engine_or_store_is_in_no_message(
    name: str, value: str, secret: str, server: ScriptedServer, ask: Ask, request_of: RequestOf, monkeypatch: Any
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("SAVE_KEYS", "true")
    server.reset({"faults": [{"status": 401, "error": {"message": f"true: {secret} is not a key"}}]})
    (failure,) = ask(OpenAIChat(base_url=server.base_url), request_of())
    assert isinstance(failure, EngineError)
    assert_hidden(secret, everything_said(failure))
    assert "true: [redacted] is not a key" in str(failure)


def test_a_key_echoed_in_an_answer_is_not_stored(
    key: str, server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"answers": {"rule": "constant", "output": f"your key is {key}!"}})
    (answer,) = ask(chat, request_of())
    assert isinstance(answer, Generation)
    assert answer.text == "your key is [redacted]!"


@pytest.mark.parametrize("secret", KEYS)
@pytest.mark.parametrize("name", ["plain", "bearer", "url", "base64", "basic", "url base64", "hex"])
def test_a_whole_key_in_a_reply_is_taken_out_in_any_encoding(secret: str, name: str) -> None:
    encoded = dict(ENCODINGS)[name](secret)
    reply = json.dumps({"id": "r", "system_fingerprint": encoded}).encode()
    cleaned = Redaction([secret]).answer(reply)
    assert b"[redacted]" in cleaned
    assert_hidden(secret, cleaned.decode().replace(secret[-5:], ""))
    assert Redaction(["another-key-0123456789"]).answer(reply) == reply


def test_a_placeholder_for_a_key_is_left_in_answers(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    (answer,) = ask(chat, request_of("The set is EMPTY."))
    assert isinstance(answer, Generation)
    assert answer.text == "The set is EMPTY."


def test_an_engine_shows_no_key(key: str, chat: OpenAIChat, ask: Ask, request_of: RequestOf) -> None:
    ask(chat, request_of())
    for shown in (repr(chat), str(chat), repr(chat.model_dump()), chat.model_dump_json(), chat.endpoint):
        assert_hidden(key, shown)
