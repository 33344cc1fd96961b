"""What looks like a key, where it stands in plain data, and a text without it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from themis_secrets import Loc, find_key, looks_like_a_key, without_secrets

KEY = "sk-proj-Zx81QwErTy77UiOpAs99DfGhJk"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f" {KEY}\n",
        f"Bearer {KEY}",
        "bearer 0123456789abcdef",
        "Basic dXNlcjpwYXNzd29yZDEyMw==",
        "sk-ant-api03-abcDEF0123456789_abcdef",
        "sk_live_51H8sQeGk2a9ZxYwVu",
        "hf_abcDEF0123456789abcdefgh",
        "ghp_abcDEF0123456789abcdefgh0123456789",
        "github_pat_11ABCDEFG0abcdefgh0123",
        "gsk_abcDEF0123456789abcdefgh",
        "xai-abcDEF0123456789abcdefgh",
        "nvapi-abcDEF0123456789abcdefgh",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF-123",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIB",
    ],
)
def test_a_key_is_known_by_its_looks(text: str) -> None:
    assert looks_like_a_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "OPENAI_API_KEY", "EMPTY", "ollama", "gpt-5-mini", "sk-learn-tutorial-for-beginners", "a token of thanks",
        "task-0123456789abcdef", "basic", "Basic English 850", "0123456789abcdef0123456789abcdef", "sk-1",
        f"What is wrong with the key {KEY}?",
    ],
)  # fmt: skip
def test_what_is_no_key_does_not_look_like_one(text: str) -> None:
    assert not looks_like_a_key(text)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (KEY, ()),
        ({"a": [1, {"b": KEY}]}, ("a", 1, "b")),
        ({KEY: 1}, (KEY,)),
        ({"free": KEY}, None),
        ({"password": "sesame"}, None),
        (7, None),
    ],
)
def test_the_first_key_is_found_by_its_path(data: Any, place: Loc | None) -> None:
    assert find_key(data, skip={"free"}) == place


def test_a_name_tells_a_secret_only_if_names_are_asked_for() -> None:
    data = {"deep": [{"clientSecret": "sesame"}]}
    assert (find_key(data), find_key(data, by_name=True)) == (None, ("deep", 0, "clientSecret"))


def test_a_text_is_left_without_keys_users_and_secret_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "open sesame")
    monkeypatch.setenv("MY_NAME", "ada lovelace")
    text = f"key={KEY} at https://me:pass@host/x said open sesame to ada lovelace"
    assert without_secrets(text) == "key=*** at https://***@host/x said *** to ada lovelace"


def test_the_example_in_the_readme_holds() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
