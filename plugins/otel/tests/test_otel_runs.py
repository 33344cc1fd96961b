"""Runs and what a collector gets of them."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.server import ScriptedServer
from themis_plugin_otel import providers

Write = Callable[..., Path]


def plain(attributes: Any) -> dict[str, Any]:
    found = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        found[each.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def test_a_run_its_trials_and_its_requests_are_spans(write: Write, collector: Any, server: ScriptedServer) -> None:
    server.reset(
        {"answers": {"rule": "constant", "output": "A: 4"}, "usage": True, "faults": [{"at": 1, "status": 503}]}
    )
    result = themis.run(write())
    spans = {each.span_id: each for each in collector.spans()}
    (run,) = (each for each in spans.values() if each.name == "themis.run")
    (trial,) = (each for each in spans.values() if each.name == "themis.trial")
    first, second = sorted(
        (s for s in spans.values() if s.name == "chat small-1"), key=lambda s: s.start_time_unix_nano
    )
    assert len({each.trace_id for each in spans.values()}) == 1
    assert not run.parent_span_id
    assert trial.parent_span_id == run.span_id
    assert {first.parent_span_id, second.parent_span_id} == {trial.span_id}
    assert run.start_time_unix_nano <= first.start_time_unix_nano < second.end_time_unix_nano <= run.end_time_unix_nano
    port = int(server.origin.rpartition(":")[2])
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small-1",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.seed": 3,
        "gen_ai.request.stop_sequences": ["END"],
        "server.address": "127.0.0.1",
        "server.port": port,
        "themis.request.purpose": "answer",
    }
    key = plain(second.attributes)["themis.request.key"]
    assert plain(first.attributes) == {
        **asked, "themis.request.key": key, "themis.request.attempt": 1, "error.type": "overloaded",
        "http.response.status_code": 503, "themis.retryable": True,
    }  # fmt: skip
    assert (first.status.code, first.status.message, first.kind) == (2, "overloaded", 3)
    usage = server.requests()[-1]
    assert usage.status == 200
    replied = plain(second.attributes)
    counts = {name: replied.pop(f"gen_ai.usage.{name}_tokens") for name in ("input", "output")}
    assert all(count > 0 for count in counts.values())
    assert replied == {
        **asked, "themis.request.key": key, "themis.request.attempt": 2, "themis.outcome": "answered",
        "gen_ai.response.id": "scripted-2", "gen_ai.response.model": "small-1",
        "gen_ai.response.finish_reasons": ["stop"],
    }  # fmt: skip
    told = plain(trial.attributes)
    assert (told["themis.slice.id"], told["themis.item.id"], told["themis.outcome"]) == ("s", "1", "answered")
    (scored,) = trial.events
    assert (scored.name, plain(scored.attributes)) == (
        "gen_ai.evaluation.result",
        {"gen_ai.evaluation.name": "right/text/exact_match", "gen_ai.evaluation.score.value": 1.0},
    )
    assert plain(run.attributes)["themis.run.id"] == result.run_id
    assert plain(run.attributes)["themis.run.status"] == "completed"
    metrics = {each.name: each.histogram.data_points for each in collector.metrics()}
    assert metrics.keys() == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
    kinds = {plain(point.attributes)["gen_ai.token.type"]: point.sum for point in metrics["gen_ai.client.token.usage"]}
    assert kinds == counts
    durations = metrics["gen_ai.client.operation.duration"]
    assert sorted(plain(point.attributes).get("error.type", "") for point in durations) == ["", "overloaded"]
    assert [*durations[0].explicit_bounds][:2] == [0.01, 0.02]


def test_what_is_said_is_in_no_span_unless_it_is_asked_for(
    write: Write, collector: Any, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset({"answers": {"rule": "echo"}})
    themis.run(write())
    sent = b"".join(body for _, body in collector.bodies)
    assert sent
    for text in (b"4711", b"sk-canary"):
        assert text not in sent
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    collector.bodies.clear()
    monkeypatch.setenv("SOME_TOKEN", "4711?")
    file = write()
    file.write_text(file.read_text().replace("Is the answer", "Is it"))
    themis.run(file)
    (chat,) = (each for each in collector.spans() if each.name == "chat small-1")
    asked = json.loads(plain(chat.attributes)["gen_ai.input.messages"])
    assert asked == [{"role": "user", "parts": [{"type": "text", "content": "Is it 4711?"}]}]
    assert json.loads(plain(chat.attributes)["gen_ai.output.messages"])[0]["finish_reason"] == "stop"


def test_a_run_is_part_of_the_trace_that_the_environment_names(
    write: Write, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    themis.run(write())
    (run,) = (each for each in collector.spans() if each.name == "themis.run")
    assert (run.trace_id.hex(), run.parent_span_id.hex()) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert b"nightly" in collector.bodies[0][1]


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["absent", "silent"])
def test_a_dead_collector_harms_no_run(
    kind: str, write: Write, nobody: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(providers, "PATIENCE_S", 0.5)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9" if kind == "absent" else nobody)
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        result = themis.run(write())
    assert time.monotonic() - begun < 20
    assert result.status == "completed"
    told = [each.getMessage() for each in caplog.records if each.name.startswith(("themis", "opentelemetry"))]
    assert len(told) == 1
    assert "otel: " in told[0]


def test_an_exporter_that_is_not_there_is_told_and_passed_over(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "pigeon")
    with caplog.at_level(logging.ERROR, logger="themis"):
        assert themis.run(write()).status == "completed"
    (told,) = (each.getMessage() for each in caplog.records)
    assert "no exporter of traces named 'pigeon' is installed: pip install opentelemetry-exporter-pigeon" in told


def test_without_exporters_a_run_is_as_any_other(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.setenv(name, "none")
    assert themis.run(write()).status == "completed"


IMPORTED = """
import sys, themis_core
themis_core.run(sys.argv[1])
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "themis_plugin_otel"))))
"""


def test_nothing_is_imported_unless_the_spec_names_it(write: Write) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED, str(write(observers=()))], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
