"""Tool calls and steps of applications: in exports for Inspect, and back from its logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import SpecError
from themis_plugin_interop.importing import import_logs

CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "eggs"}'}}
BROKEN = {"id": "c2", "type": "function", "function": {"name": "search", "arguments": "eggs"}}
STEPS: list[dict[str, Any]] = [
    {
        "kind": "retrieval",
        "name": "index",
        "input": "eggs",
        "output": [{"id": "d1", "text": "8 dozen"}],
        "seconds": 0.5,
    },
    {"kind": "tool_call", "name": "multiply", "input": {"a": 8, "b": 12}, "output": 96, "seconds": 0.25},
    {"kind": "tool_call", "name": "look", "input": "at it", "error": "there is nothing"},
]
SPEC = """
benchmark:
  benchmark_id: tools
  models:
    - {model_id: agent, provider: replay/file, extras: {path: answers.jsonl, fields: {
        tool_calls: calls, steps: steps, finish_reason: finish}}}
  prompt_variants:
    - id: conversation
      messages:
        - {role: user, content: "{{ item.q }}"}
        - role: assistant
          content: ""
          tool_calls: [{id: c0, name: look_up, arguments: {of: dozen}}]
        - {role: tool, tool_call_id: c0, content: "12"}
  slices:
    - slice_id: asked
      dataset:
        source: files/inline
        fields: {id: id, reference: n}
        extras: {rows: [{id: a, q: "8 dozen eggs?", n: "96"}, {id: b, q: "Search.", n: "96"}]}
      generation: {}
      scores: [{name: said, metrics: [text/contains]}]
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    rows = [
        {"id": "a", "output": "They are 96.", "calls": None, "steps": STEPS, "finish": "stop"},
        {"id": "b", "output": "", "calls": [CALL, BROKEN], "steps": None, "finish": "tool_calls"},
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "spec.yaml").write_text(SPEC)
    themis.run(folder / "spec.yaml")
    return folder / "spec.yaml"


def test_inspect_reads_tool_calls_and_steps_as_its_own(
    spec: Path, tmp_path: Path, read_by: Callable[[str, Path], Any]
) -> None:
    themis.export("tools", "interop/inspect", tmp_path / "out", spec=spec)
    (log,) = read_by("inspect", tmp_path / "out")
    samples = {each["id"]: each for each in log["samples"]}
    asked = ["look_up", {"of": "dozen"}, None]
    assert samples["a"]["roles"] == ["user", "assistant", "tool", "assistant"]
    assert samples["a"]["calls"] == [[asked], []]
    assert samples["a"]["results"] == [["look_up", "12"]]
    assert samples["a"]["tools"] == [
        ["multiply", {"a": 8, "b": 12}, "96", None],
        ["look", {"input": "at it"}, "", "there is nothing"],
    ]
    assert samples["a"]["infos"] == [STEPS[0]]
    assert samples["b"]["calls"] == [
        [asked],
        [["search", {"q": "eggs"}, None], ["search", {}, "the arguments are no JSON object: eggs"]],
    ]
    assert samples["b"]["stop"] == "tool_calls"


def test_tool_calls_and_steps_come_back_from_a_log(spec: Path, tmp_path: Path) -> None:
    themis.export("tools", "interop/inspect", tmp_path / "out", spec=spec)
    import_logs([tmp_path / "out"], "inspect", tmp_path / "in")
    again = themis.run(tmp_path / "in" / "spec.yaml")
    assert {row.score: row.value for row in again.scores} == {"said": 0.5}
    items = [json.loads(line) for line in next((tmp_path / "in" / "items").iterdir()).read_text().splitlines()]
    assert items[0]["input"] == 'user: 8 dozen eggs?\n\nassistant: [calls look_up {"of":"dozen"}]\n\ntool: 12'
    rows = {
        row["id"].rpartition(":")[2]: row
        for row in map(json.loads, next((tmp_path / "in" / "answers").iterdir()).read_text().splitlines())
    }
    assert rows["a"]["steps"] == [
        STEPS[0],
        {**STEPS[1], "output": "96"},  # Inspect's results are text
        {**STEPS[2], "input": {"input": "at it"}, "output": ""},  # and its arguments an object
    ]
    assert rows["b"]["tool_calls"] == [
        {**CALL, "function": {"name": "search", "arguments": '{"q":"eggs"}'}},
        {**BROKEN, "function": {"name": "search", "arguments": "{}"}},
    ]


HEADER = {"version": 2, "eval": {"task": "t", "model": "m"}}


def imported(folder: Path, **more: Any) -> dict[str, Any]:
    """The recorded answer of a log with one sample."""
    sample = {"id": "a", "epoch": 1, "input": "Say T.", "target": "T", "output": {"completion": "T"}, **more}
    (folder / "log.json").write_text(json.dumps({**HEADER, "samples": [sample]}))
    import_logs([folder / "log.json"], "inspect", folder / "run")
    themis.run(folder / "run" / "spec.yaml")  # what is imported also runs
    return dict(json.loads((folder / "run" / "answers" / "m.jsonl").read_text()))


def test_models_are_steps_beside_the_tools_of_an_agent_and_alone_they_are_none(tmp_path: Path) -> None:
    model = {"event": "model", "model": "m", "output": {"completion": "I look."}, "working_time": 1.5}
    tool = {"event": "tool", "function": "look", "arguments": {"at": "attachment://x"}, "result": "seen"}
    others = [{"event": "span_begin"}, {"event": "info", "source": "mine", "data": 5}]
    found = imported(tmp_path, events=[model, *others, tool], attachments={"x": "all"})
    assert found["steps"] == [
        {"kind": "model", "name": "m", "output": "I look.", "seconds": 1.5},
        {"kind": "tool_call", "name": "look", "input": {"at": "all"}, "output": "seen"},
    ]
    (tmp_path / "alone").mkdir()
    assert imported(tmp_path / "alone", events=[model, *others])["steps"] is None


def test_without_events_messages_tell_which_tools_were_called(tmp_path: Path) -> None:
    call = {"id": "c1", "function": "look", "arguments": {"at": 1}, "type": "function"}
    messages = [
        {"role": "user", "content": "Say T."},
        {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen", "error": {"type": "timeout", "message": "late"}},
        {"role": "assistant", "content": "T"},
    ]
    assert imported(tmp_path, messages=messages)["steps"] == [
        {"kind": "tool_call", "name": "look", "input": {"at": 1}, "output": "seen", "error": "late"}
    ]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"events": 5}, "events is a number, not a list"),
        ({"events": [5]}, "an event is a number, not an object"),
        ({"events": [{"event": "tool"}]}, "the function of an event is null, not a text"),
        ({"events": [{"event": "tool", "function": "f", "arguments": [1]}]}, "the arguments of an event is a list"),
        ({"events": [{"event": "info", "source": "themis", "data": {"kind": "x"}}]}, "its events are no steps"),
        ({"events": [{"event": "info", "source": "themis", "data": {"kind": "other", "y": 1}}]}, "no steps"),
        ({"messages": {"a": 1}}, "messages is an object, not a list"),
        ({"output": {"choices": [{"message": {"tool_calls": [{"id": 5}]}}]}}, "is null, not a text"),
    ],
)
def test_malformed_events_and_calls_are_refused(tmp_path: Path, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        imported(tmp_path, **more)
    assert not (tmp_path / "run").exists()
