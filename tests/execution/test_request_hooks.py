"""Observers of single requests: what they are told, in which order, and that they harm nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis
from themis_core.execution.watching import watch_of
from themis_core.plugins import compose
from themis_core.reading import load_specs
from themis_core.testing.server import ScriptedServer

WATCHING = """
import json
from dataclasses import asdict
from pathlib import Path

from themis_core import hookimpl

def note(kind, event):
    if FAILS:
        raise ValueError("no room")
    with Path(__file__).with_name("told.jsonl").open("a") as file:
        file.write(json.dumps([kind, asdict(event)]) + "\\n")
    if kind == "started":
        event.request.messages.clear()

@hookimpl
def themis_request_started(event):
    note("started", event)

@hookimpl
def themis_request_finished(event):
    note("finished", event)

@hookimpl
def themis_request_failed(event):
    note("failed", event)

@hookimpl
def themis_trial_finished(event):
    note("trial", event)
"""
JUDGE = """
from themis_core import Judge, JudgeRequest, Score, hookimpl

class Polite(Judge):
    asks_models = True

    def requests(self, judged):
        return [JudgeRequest([{"role": "user", "content": "Is this polite? " + judged.generation.text}])]

    def score(self, judged, replies):
        return Score(1.0)

@hookimpl
def themis_register_judges(register):
    register("polite", Polite)
"""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"answers": {"rule": "constant", "output": "A: 4"}}) as started:
        yield started


def spec(
    folder: Path, server: ScriptedServer, *, observers: list[str], fails: bool = False, judged: bool = False
) -> Path:
    (folder / "watching.py").write_text(WATCHING.replace("FAILS", str(fails)))
    (folder / "judging.py").write_text(JUDGE)
    model = {"provider": "openai/chat", "extras": {"base_url": server.base_url, "api_key_env": None}}
    metrics: list[Any] = ["text/exact_match"]
    if judged:
        metrics.append({"id": "judging/polite", "judge": [{"model": {"model_id": "judge", **model}}]})
    rows = [{"id": "1", "q": "2 + 2?", "gold": "A: 4"}]
    benchmark = {
        "benchmark_id": "watched",
        "models": [{"model_id": "label", "model": "sent", **model}],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/inline", "extras": {"rows": rows}, "fields": {"reference": "gold"}},
                "generation": {},
                "scores": [{"name": "right", "metrics": metrics}],
            }
        ],
    }
    project = {
        "plugins": {"watching": "./watching.py", "judging": "./judging.py"},
        "observers": observers,
        "execution_policy": {"backoff_base_s": 0.01},
        "storage": {"backend": "sqlite", "root_dir": "runs"},
    }
    file = folder / "watched.yaml"
    file.write_text(yaml.safe_dump({"project": project, "benchmark": benchmark}))
    return file


def told(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = (folder / "told.jsonl").read_text().splitlines()
    return [(kind, event) for kind, event in map(json.loads, lines)]


def test_each_attempt_is_told_before_and_after(tmp_path: Path, server: ScriptedServer) -> None:
    server.reset({"answers": {"rule": "constant", "output": "A: 4"}, "faults": [{"at": 1, "status": 503}]})
    result = themis.run(spec(tmp_path, server, observers=["watching"]))
    events = told(tmp_path)
    assert [kind for kind, _ in events] == ["started", "failed", "started", "finished", "trial"]
    first, failed, second, finished = (event for _, event in events[:4])
    assert [each["number"] for each in (first, failed["started"], second, finished["started"])] == [1, 1, 2, 2]
    assert [each["attempt"] for each in (first, second)] == [1, 2]
    trial = events[4][1]
    for each in (first, second):
        assert (each["engine"], each["endpoint"], each["purpose"]) == ("openai/chat", server.origin, "answer")
        assert (each["run_id"], each["slice_id"], each["trial_id"]) == (result.run_id, "s", trial["trial_id"])
        assert each["request"]["model_id"] == "sent"
        assert each["request"]["messages"] == [{"role": "user", "content": "2 + 2?"}]
        assert each["request"]["key"] == trial["generation_keys"][0]
    assert (failed["code"], failed["status"], failed["retryable"]) == ("overloaded", 503, True)
    assert failed["seconds"] >= 0
    assert finished["generation"]["text"] == "A: 4"
    assert server.requests()[-1].messages == [{"role": "user", "content": "2 + 2?"}]  # an observer has its own copy


def test_requests_of_judges_are_told_as_theirs(tmp_path: Path, server: ScriptedServer) -> None:
    themis.run(spec(tmp_path, server, observers=["watching"], judged=True))
    events = told(tmp_path)
    trial_id = next(event["trial_id"] for kind, event in events if kind == "trial")
    started = [event for kind, event in events if kind == "started"]
    assert [(each["purpose"], each["request"]["model_id"]) for each in started] == [
        ("answer", "sent"),
        ("judge", "judge"),
    ]
    assert {each["trial_id"] for each in started} == {trial_id}


def test_what_is_stored_is_no_request(tmp_path: Path, server: ScriptedServer) -> None:
    file = spec(tmp_path, server, observers=["watching"])
    themis.run(file)
    count = len(told(tmp_path))
    themis.run(file)
    assert len(told(tmp_path)) == count


def batched(folder: Path, server: ScriptedServer, **policy: Any) -> Path:
    """The spec with three items, asked by batches."""
    file = spec(folder, server, observers=["watching"])
    data = yaml.safe_load(file.read_text())
    rows = [{"id": str(each), "q": f"{each} + 2?", "gold": "A: 4"} for each in range(3)]
    data["benchmark"]["slices"][0]["dataset"]["extras"]["rows"] = rows
    data["project"]["execution_policy"]["batches"] = {"poll_s": 0.05, "grace_s": 0.1, **policy}
    file.write_text(yaml.safe_dump(data))
    return file


def test_requests_of_a_batch_are_told_when_it_is_collected(tmp_path: Path, server: ScriptedServer) -> None:
    server.reset({"answers": {"rule": "constant", "output": "A: 4"}, "batches": {"takes_s": 1.5}})
    file = batched(tmp_path, server)
    assert themis.run(file, detach=True).status == "waiting"
    assert not (tmp_path / "told.jsonl").exists()
    themis.run(file)
    events = told(tmp_path)
    assert [kind for kind, _ in events] == ["started", "finished"] * 3 + ["trial"] * 3
    trials = {event["trial_id"]: event["generation_keys"][0] for kind, event in events if kind == "trial"}
    for number, event in enumerate(event for kind, event in events if kind == "started"):
        assert (event["number"], event["attempt"], event["purpose"]) == (number + 1, 1, "answer")
        assert (event["engine"], event["endpoint"]) == ("openai/chat", server.origin)
        assert event["batch"] == server.batches()[0]["id"]
        assert event["request"]["key"] == trials[event["trial_id"]]
    for event in (event for kind, event in events if kind == "finished"):
        assert event["seconds"] >= 1
        assert event["generation"]["text"] == "A: 4"
        assert event["started"]["batch"] == event["generation"]["provider"]["batch"]
    themis.run(file)
    assert len(told(tmp_path)) == len(events)


def test_what_a_batch_leaves_unanswered_is_told_as_failed(tmp_path: Path, server: ScriptedServer) -> None:
    server.reset({"batches": {"ends": ["expired"], "answered": 2}})
    themis.run(batched(tmp_path, server))
    events = [(kind, event) for kind, event in told(tmp_path) if kind != "trial"]
    assert [kind for kind, _ in events] == [*["started", "finished"] * 2, "started", "failed", "started", "finished"]
    failed = events[5][1]
    assert (failed["code"], failed["retryable"], failed["started"]["attempt"]) == ("batch_unanswered", True, 1)
    again = events[6][1]
    assert (again["attempt"], again["request"]["key"]) == (2, failed["started"]["request"]["key"])
    assert [each["id"] for each in server.batches()] == [failed["started"]["batch"], again["batch"]]


def test_an_observer_that_fails_is_logged_once_and_passed_over(
    tmp_path: Path, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="themis"):
        result = themis.run(spec(tmp_path, server, observers=["watching"], fails=True))
    assert result.status == "completed"
    for hook in ("themis_request_started", "themis_request_finished"):
        (line,) = (each.getMessage() for each in caplog.records if hook in each.getMessage())
        assert "plugin 'watching'" in line
        assert "no room" in line


def test_a_local_engine_is_told_of_too(tmp_path: Path, server: ScriptedServer) -> None:
    data = yaml.safe_load(spec(tmp_path, server, observers=["watching"]).read_text())
    (tmp_path / "recorded.jsonl").write_text(json.dumps({"id": "1", "output": "A: 4"}))
    data["benchmark"]["models"] = [{"model_id": "m", "provider": "replay/file", "extras": {"path": "recorded.jsonl"}}]
    file = tmp_path / "local.yaml"
    file.write_text(yaml.safe_dump(data))
    themis.run(file)
    assert [kind for kind, _ in told(tmp_path)] == ["started", "finished", "trial"]


def test_where_nobody_listens_there_is_nothing_to_tell(tmp_path: Path, server: ScriptedServer) -> None:
    def watched(plugin: str) -> bool:
        data = yaml.safe_load(spec(tmp_path, server, observers=[]).read_text())
        data["project"]["plugins"] = {plugin: f"./{plugin}.py"}
        (tmp_path / "one.yaml").write_text(yaml.safe_dump(data))
        loaded = load_specs(tmp_path / "one.yaml", None, (), None, (), None)
        return watch_of(compose(loaded), "run") is not None

    assert [watched("judging"), watched("watching")] == [False, True]
