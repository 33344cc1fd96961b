"""Images, sound, files and calls of tools, from a spec to the server, the store, and what is shown of them."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import themis_core as themis
from themis_core.cli import cli
from themis_core.plugins import compose
from themis_core.reading import load_specs
from themis_core.testing.postgres import server_for_tests
from themis_core.testing.server import ScriptedServer

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(range(256)) * 400
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 400


def base64(content: bytes) -> str:
    return b64encode(content).decode()


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"answers": {"rule": "constant", "output": "A: 4"}}) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    (data / "one.wav").write_bytes(WAV)
    (tmp_path / "paper.pdf").write_bytes(PDF)
    rows = [{"id": name, "clip": "one.wav", "gold": "A: 4"} for name in ("a", "b")]
    (data / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with server_for_tests() as started:
        yield started.new_database()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if request.param == "sqlite":
        return {"backend": "sqlite", "root_dir": "runs"}
    monkeypatch.setenv("THEMIS_POSTGRES_URL", request.getfixturevalue("database_url"))
    return {"backend": "postgres", "schema_name": f"t_{secrets.token_hex(4)}"}


PARTS = [
    {"type": "text", "text": "{{ item.id }}"},
    {"type": "input_audio", "input_audio": "{{ item.clip }}"},
    {"type": "file", "file": "paper.pdf"},
]


def spec(folder: Path, server: ScriptedServer, storage: dict[str, Any], content: Any = PARTS, **model: Any) -> Path:
    extras = {"base_url": server.base_url, "api_key_env": None}
    dataset = {"source": "files/jsonl", "dataset_id": "data/rows.jsonl", "fields": {"reference": "gold"}}
    benchmark = {
        "benchmark_id": "parts",
        "models": [{"model_id": "m", "provider": "openai/chat", "extras": extras} | model],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": content}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": dataset,
                "generation": {},
                "scores": [{"name": "right", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    file = folder / "parts.yaml"
    file.write_text(yaml.safe_dump({"project": {"storage": storage}, "benchmark": benchmark}))
    return file


def test_sound_and_files_are_sent_whole_and_stored_once(
    folder: Path, server: ScriptedServer, storage: dict[str, Any]
) -> None:
    server.reset({"answers": {"rule": "constant", "output": "A: 4"}})
    file = spec(folder, server, storage)
    result = themis.run(file)
    assert [(row.value, row.n) for row in result.scores] == [(1.0, 2)]
    for served in server.requests():
        _, clip, paper = served.messages[0]["content"]
        assert (b64decode(clip["input_audio"]["data"]), clip["input_audio"]["format"]) == (WAV, "wav")
        assert paper["file"]["filename"] == "paper.pdf"
        head, _, data = paper["file"]["file_data"].partition(",")
        assert (head, b64decode(data)) == ("data:application/pdf;base64", PDF)
    stored = events_of(file)
    for content in (WAV, PDF):
        (whole,) = (each for each in stored if base64(content) in each)
        assert json.loads(whole)["kind"] == "item"
    assert sum(map(len, stored)) < 2 * 140_000 + 20_000
    themis.run(file)
    assert server.count == 2  # what is stored is not asked again
    (folder / "data" / "one.wav").write_bytes(WAV + b"1")
    again = themis.run(file)
    assert (server.count, again.run_id == result.run_id) == (4, False)


def events_of(file: Path) -> list[str]:
    loaded = load_specs(file, None, (), None, (), None)
    with closing(compose(loaded).storage.open(loaded.project_dir, mode="read")) as store:
        return [json.dumps(event) for event in store.events()]


def test_a_trial_shows_them_shortly(folder: Path, server: ScriptedServer) -> None:
    file = spec(folder, server, {"backend": "sqlite", "root_dir": "runs"})
    themis.run(file)
    shown = CliRunner().invoke(cli, ["show", "trial", "parts", "a", "--spec", str(file)]).stdout
    assert '"format":"wav"' in shown.replace(": ", ":")
    assert len(shown) < 3_000
    page = folder / "report.html"
    done = CliRunner().invoke(cli, ["report", "parts", "--spec", str(file), "-o", str(page)])
    assert done.exit_code == 0, done.output
    assert base64(WAV)[:200] not in page.read_text("utf-8")


def test_calls_of_tools_in_a_prompt_are_sent_and_shown(folder: Path, server: ScriptedServer) -> None:
    server.reset({"answers": {"rule": "constant", "output": "A: 4"}})
    file = spec(folder, server, {"backend": "sqlite", "root_dir": "runs"}, "?")
    data = yaml.safe_load(file.read_text())
    data["benchmark"]["prompt_variants"][0]["messages"] += [
        {"role": "assistant", "tool_calls": [{"id": "c1", "name": "look_up", "arguments": {"what": "{{ item.id }}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "four"},
    ]
    file.write_text(yaml.safe_dump(data))
    themis.run(file)
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"what": "a"}'}}
    sent = next(each.messages for each in server.requests() if '"a"' in str(each.messages))
    assert sent[1] == {"role": "assistant", "content": "", "tool_calls": [call]}
    shown = CliRunner().invoke(cli, ["show", "trial", "parts", "a", "--spec", str(file)]).stdout
    assert "look_up" in shown
    page = folder / "report.html"
    assert CliRunner().invoke(cli, ["report", "parts", "--spec", str(file), "-o", str(page)]).exit_code == 0


def test_a_plan_finds_the_missing_file_and_calls_nothing(folder: Path, server: ScriptedServer) -> None:
    server.reset()
    file = spec(folder, server, {"backend": "sqlite", "root_dir": "runs"})
    (folder / "paper.pdf").unlink()
    for call in (themis.plan, themis.run):
        with pytest.raises(themis.SpecError) as caught:
            call(file)
        assert "prompt_variants[0].messages[0].content[2]: no such file 'paper.pdf' in " in str(caught.value)
        assert f"{file.name}:" in str(caught.value)
    assert server.count == 0


LOOK = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look_up"}}}, None),
        ({"tools": [LOOK], "tool_choice": {"type": "tool", "name": "look_up"}}, None),
        ({"tools": [LOOK], "tool_choice": {"type": "any"}}, None),
        ({"tools": [{"functionDeclarations": [{"name": "a"}]}], "tool_choice": {"type": "tool", "name": "a"}}, None),
        ({"tool_choice": "auto", "extra_body": {"tools": [LOOK]}}, None),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "lookup"}}},
         "tool_choice names 'lookup', which is none of `tools`: look_up"),
        ({"tool_choice": "auto"}, "tool_choice chooses among `tools`, and there are none"),
        ({"tools": [LOOK, LOOK]}, "two tools have the name 'look_up'"),
        ({"tools": [LOOK, {"type": "function", "function": {"parameters": {}}}]}, "tool 1 has no name"),
        ({"tools": [{"type": "function", "function": None}]}, "tool 0 has no name"),
    ],
)  # fmt: skip
def test_tools_and_their_choice_fit_before_the_first_call(
    settings: dict[str, Any], told: str | None, folder: Path, server: ScriptedServer
) -> None:
    server.reset()
    file = spec(folder, server, {"backend": "sqlite", "root_dir": "runs"}, "?", params={"set": settings})
    if told is None:
        assert themis.plan(file).per_model[0]["calls"] == 2
        return
    with pytest.raises(themis.SpecError, match=told):
        themis.run(file)
    assert server.count == 0


PNG = b"\x89PNG\r\n\x1a\n"


def data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64(content)}"


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("image_url", data_url("image/png", PNG), None),
        ("image_url", data_url("image/jpg", b"\xff\xd8\xff"), None),
        ("image_url", data_url("image/jpeg", PNG), "says image/jpeg, and holds image/png"),
        ("image_url", data_url("image/png", b"<html>"), "is no PNG, JPEG, GIF or WebP"),
        ("image_url", data_url("text/html", PNG), "says text/html, and holds image/png"),
        ("image_url", "data:,hello", "is not in Base64"),
        ("input_audio", data_url("audio/x-wav", WAV), None),
        ("input_audio", data_url("audio/mp3", b"ID3"), None),
        ("input_audio", data_url("audio/mp3", WAV), "says audio/mp3, and holds audio/wav"),
        ("input_audio", data_url("audio/wav", b"noise"), "is neither WAV nor MP3"),
        ("file", data_url("application/pdf", PDF), None),
        ("file", data_url("application/pdf", b"noise"), "says application/pdf, and holds something else"),
        ("file", data_url("text/csv", b"a,b"), None),
    ],
)
def test_a_data_url_holds_what_it_says(
    kind: str, given: str, told: str | None, folder: Path, server: ScriptedServer
) -> None:
    server.reset()
    file = spec(folder, server, {"backend": "sqlite", "root_dir": "runs"}, [{"type": kind, kind: given}])
    if told is None:
        assert themis.plan(file).per_model[0]["calls"] == 2
        return
    with pytest.raises(themis.SpecError, match=told):
        themis.run(file)
    assert server.count == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"provider": "openai/completions"},
            "engine 'openai/completions' can't do audio (a part of a prompt is sound)",
        ),
        ({"content": [{"type": "file", "file": "paper.pdf"}], "provider": "openai/completions"}, "can't do files"),
        (
            {"content": "?", "provider": "openai/completions", "params": {"set": {"tool_choice": "auto"}}},
            "can't do tools",
        ),
        (
            {"content": "?", "provider": "mine/plain", "params": {"set": {"response_format": {"type": "json_object"}}}},
            "can't do structured (`response_format` asks for it)",
        ),
    ],
)
def test_what_an_engine_can_not_do_is_refused_before_the_first_call(
    folder: Path, server: ScriptedServer, changes: dict[str, Any], told: str
) -> None:
    server.reset()
    (folder / "plain.py").write_text(PLAIN)
    file = spec(folder, server, {"backend": "sqlite", "root_dir": "runs"}, **changes)
    data = yaml.safe_load(file.read_text())
    data["project"]["plugins"] = {"mine": "./plain.py"}
    if changes["provider"] == "mine/plain":
        del data["benchmark"]["models"][0]["extras"]
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(themis.SpecError) as caught:
        themis.run(file)
    assert told in str(caught.value)
    assert server.count == 0


PLAIN = """
from themis_core import Engine, Generation, hookimpl

class Plain(Engine):
    async def generate(self, request):
        return Generation("answered", text="A: 4")

@hookimpl
def themis_register_engines(register):
    register("plain", Plain)
"""
