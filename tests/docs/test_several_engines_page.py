"""The page on several engines: one spec asks five of them for the same items, and what the page shows is printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import themis_core
from themis_core.testing.server import ScriptedServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "engines"
PAGE = (ROOT / "docs" / "several-engines.md").read_text("utf-8")
ITEMS = [json.loads(line) for line in (EXAMPLE / "questions.jsonl").read_text("utf-8").splitlines()]
RIGHT = {"gpt-5-mini": 35, "claude-haiku-4-5": 36, "gemini-2.5-flash": 31, "local": 12, "larger": 20}
"""By model: how many of the items, from the first on, the server answers rightly for it."""
ADDRESSES = {"openai/responses": "/v1", "anthropic/messages": "", "google/gemini": "/v1beta"}
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    rows = [
        {"model": model, "prompt": item["question"], "output": str(item["gold"]) if at < right else "17"}
        for model, right in RIGHT.items()
        for at, item in enumerate(ITEMS)
    ]
    with ScriptedServer({"answers": {"rule": "table", "rows": rows}}) as server:
        yield server


@pytest.fixture
def folder(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the example, with a scripted server in the place of each provider."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    spec = (EXAMPLE / "engines.yaml").read_text("utf-8").replace("http://127.0.0.1:8000", server.origin)
    for provider, path in ADDRESSES.items():
        spec = spec.replace(
            f"provider: {provider},", f"provider: {provider}, extras: {{base_url: '{server.origin}{path}'}},"
        )
    (tmp_path / "engines.yaml").write_text(spec, "utf-8")
    for name in KEYS:
        monkeypatch.setenv(name, "sk-canary-5f3a9c71d2e84b60")
    monkeypatch.setenv("COLUMNS", "150")
    return tmp_path


def themis(folder: Path, *command: str, code: int = 0) -> str:
    whole = [sys.executable, "-m", "themis_core", *command]
    done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_files_that_the_page_shows_are_those_of_the_example() -> None:
    assert blocks("yaml")[0] == (EXAMPLE / "engines.yaml").read_text("utf-8")
    assert blocks("python") == [(EXAMPLE / "app.py").read_text("utf-8")]
    assert len(ITEMS) == len({item["question"] for item in ITEMS}) == 36


def test_one_spec_asks_five_engines_and_what_comes_of_it_is_on_the_page(server: ScriptedServer, folder: Path) -> None:
    shown = blocks("text")
    printed = [themis(folder, *command) for command in (("plan", "engines.yaml"), ("run", "engines.yaml"))]
    # Of the plan, the table of calls, without the addresses, which are others here.
    table = [re.sub(r"http://\S+|https://\S+", "", line).split() for line in printed[0].splitlines()]
    for line in shown[0].splitlines():
        assert re.sub(r"https?://\S+", "", line).split() in table
    assert shown[1].rstrip() in printed[1]
    assert {each.path.partition("?")[0] for each in server.requests()} == {
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1beta/models/gemini-2.5-flash:generateContent",
    }
    asked = server.count
    assert asked == 4 * len(ITEMS)
    assert shown[2].rstrip() in themis(folder, "compare", "engines", "--spec", "engines.yaml", "--baseline", "local")
    assert shown[3].rstrip() in themis(folder, "compare", "engines", "--spec", "engines.yaml", code=10)
    assert "0 to call" in themis(folder, "plan", "engines.yaml")
    assert server.count == asked


def test_another_engine_is_one_more_line_and_only_it_is_asked(server: ScriptedServer, folder: Path) -> None:
    themis_core.run(folder / "engines.yaml")
    asked = server.count
    path = folder / "engines.yaml"
    spec, (more,) = yaml.safe_load(path.read_text("utf-8")), map(yaml.safe_load, blocks("yaml")[1:])
    more["models"][0]["extras"]["base_url"] = server.base_url
    spec["benchmark"]["models"] += more["models"]
    path.write_text(yaml.safe_dump(spec), "utf-8")
    plan = themis_core.plan(path)
    assert (plan.to_call, plan.trials) == (len(ITEMS), 6 * len(ITEMS))
    result = themis_core.run(path)
    assert (result.status, result.generated) == ("completed", len(ITEMS))
    assert server.count == asked + len(ITEMS)
