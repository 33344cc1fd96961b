"""Which configs are refused, with which words; what is identity; which key is needed when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import SpecError
from themis_plugin_openai.engines import OpenAIChat, OpenAICompletions

SECRET = "sk_live_51H8sQeGk2a9ZxYwVu"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"base_url": "127.0.0.1:8000/v1"}, "write a whole address, such as http://127.0.0.1:8000/v1"),
        ({"base_url": "file:///etc/passwd"}, "write a whole address"),
        ({"base_url": "http://[::1/v1"}, "write a whole address"),
        ({"base_url": "http://h:99999/v1"}, "write a whole address"),
        ({"base_url": f"https://me:{SECRET}@h/v1"}, "the address holds credentials"),
        ({"base_url": f"https://{SECRET}@h/v1"}, "the address holds credentials"),
        ({"base_url": "https://h/v1?api-key=abc"}, "the address holds a key"),
        ({"base_url": "https://h/v1?api-version=1&sig=abc"}, "the address holds a key"),
        ({"base_url": f"https://h/v1?v={SECRET}"}, "the address holds a key"),
        ({"base_url": f"https://h/{SECRET}/v1"}, "the address holds a key"),
        ({"base_url": "https://h/v1/chat/completions"}, "leave out /chat/completions at its end"),
        ({"base_url": "https://h/v1/chat/completions/"}, "leave out /chat/completions at its end"),
        ({"base_url": "https://h/v1/completions"}, "leave out /completions at its end"),
        ({"base_url": "https://h/v1/responses"}, "leave out /responses at its end"),
        ({"base_url": "http://h:8000/chat/completions?api-version=1"}, "leave out /chat/completions at its end"),
        ({"base_url": "https://h/openai/deployments/m/chat/completions"}, "leave out /chat/completions at its end"),
        ({"base_url": "https://h/v1#part"}, "leave out what follows #"),
        ({"organization": SECRET}, "that looks like a key"),
        ({"project": SECRET}, "that looks like a key"),
        ({"identity_name": SECRET}, "that looks like a key"),
        ({"headers": {"X-Trace": SECRET}}, "X-Trace looks like a secret"),
        ({"base_url": "http://h/v 1"}, "an address has no spaces"),
        ({"api_key_env": SECRET}, "write the name of an environment variable"),
        ({"api_key_env": "hf_abcDEF0123456789abcdef"}, "write the name of an environment variable"),
        ({"api_key_env": "sk-proj-abc"}, "write the name of an environment variable"),
        ({"headers": {"Authorization": SECRET}}, "Authorization looks like a secret"),
        ({"headers": {"api-key": SECRET}}, "name that in headers_env"),
        ({"headers": {"X-Goog-Api-Key": SECRET}}, "looks like a secret"),
        ({"headers": {"X-Auth-Token": SECRET}}, "looks like a secret"),
        ({"headers": {"X-Trace": f"Bearer {SECRET}"}}, "X-Trace looks like a secret"),
        ({"headers": {"Content-Length": "3"}}, "is set by the engine"),
        ({"headers": {"X-Trace": "a\r\nX-Evil: 1"}}, "X-Trace: use visible ASCII characters only"),
        ({"headers": {"X Trace": "a"}}, "letters, digits and hyphens"),
        ({"headers_env": {"api-key": "not a name"}}, "write the name of an environment variable"),
        ({"organization": "a\nb"}, "visible ASCII"),
        ({"connect_timeout_s": 0}, "type=greater_than"),
        ({"max_reply_bytes": 1}, "type=greater_than_equal"),
        ({"max_token_field": "max_tokens"}, "Extra inputs are not permitted"),
        ({"max_tokens_field": "tokens"}, "max_completion_tokens"),
    ],
)
def test_a_mistaken_config_is_refused_without_repeating_it(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenAIChat.model_validate(config)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com:443"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ("HTTP://Example.org", "http://example.org:80"),
    ],
)
def test_the_endpoint_is_the_origin(base_url: str, endpoint: str) -> None:
    assert OpenAIChat(base_url=base_url).endpoint == endpoint


def test_identity_is_what_can_change_an_answer() -> None:
    engine = OpenAIChat(
        base_url="http://127.0.0.1:8000/v1/",
        api_key_env="OTHER",
        headers={"X-Variant": "b"},
        headers_env={"api-key": "THIRD"},
        max_reply_bytes=2048,
        organization="o",
        trust_env=True,
    )
    assert engine.identity() == {
        "base_url": "http://127.0.0.1:8000/v1",
        "headers": {"X-Variant": "b"},
        "max_tokens_field": "max_tokens",
    }


def test_an_identity_name_stands_for_the_address() -> None:
    first, second = (OpenAIChat(base_url=f"http://127.0.0.1:{port}/v1", identity_name="lab") for port in (1, 2))
    assert (
        first.identity()
        == second.identity()
        == {
            "base_url": "lab",
            "headers": {},
            "max_tokens_field": "max_tokens",
        }
    )
    assert OpenAICompletions(base_url="http://h:1").identity() == {
        "base_url": "http://h:1",
        "headers": {},
        "separator": "\n\n",
    }


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({}, "OPENAI_API_KEY"),
        ({"base_url": "https://127.0.0.1/v1"}, "OPENAI_API_KEY"),
        ({"base_url": "http://models.example.org/v1", "api_key_env": "OTHER"}, "OTHER"),
        ({"base_url": "http://8.8.8.8/v1"}, "OPENAI_API_KEY"),
        ({"base_url": "http://127.0.0.1:1/v1", "headers_env": {"api-key": "THIRD"}}, "THIRD"),
        ({"base_url": "http://127.0.0.1:1/v1"}, None),
        ({"base_url": "http://localhost:1/v1"}, None),
        ({"base_url": "http://vllm:8000/v1"}, None),
        ({"base_url": "http://box.local/v1"}, None),
        ({"base_url": "http://192.168.1.7:8000/v1"}, None),
        ({"base_url": "http://[::1]:8000/v1"}, None),
        ({"api_key_env": None}, None),
    ],
)
def test_a_missing_variable_is_named_before_any_call(
    config: dict[str, Any], missing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OTHER", "THIRD"):
        monkeypatch.delenv(name, raising=False)
    engine = OpenAIChat.model_validate(config)
    if missing is None:
        engine.check(tmp_path)
        assert engine.secret_headers() == {}
        return
    with pytest.raises(SpecError, match=rf"environment variable {missing} is not set, and http.* needs it\. Set it"):
        engine.check(tmp_path)


def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "ключ")
    with pytest.raises(SpecError) as caught:
        OpenAIChat().check(tmp_path)
    assert str(caught.value) == "environment variable OPENAI_API_KEY holds characters that no HTTP header can carry"


def test_spaces_around_a_key_are_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " abc\n")
    assert OpenAIChat().secret_headers() == {"authorization": "Bearer abc"}


def test_an_authorization_header_of_its_own_takes_the_place_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASIC", "Basic bWU6cGFzcw==")
    engine = OpenAIChat(headers_env={"Authorization": "BASIC"})
    assert engine.secret_headers() == {"authorization": "Basic bWU6cGFzcw=="}


def test_registering_and_configuring_imports_no_http_library() -> None:
    code = (
        "import sys; from themis_plugin_openai import plugin\n"
        "assert 'themis_plugin_openai.engines' not in sys.modules\n"
        "found = {}; plugin.themis_register_engines(found.__setitem__)\n"
        "from themis_plugin_openai.engines import OpenAIChat\n"
        "OpenAIChat(base_url='http://127.0.0.1:1').secret_headers()\n"
        "print(sorted(found), sorted({'httpx', 'pyreqwest', 'ssl'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "['azure', 'chat', 'completions', 'responses'] []\n"
