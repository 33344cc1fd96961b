"""Spans as the SDK's exporters in memory get them from a tracer provider of the application."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import themis_core as themis
from themis_core import Generation, Request, RequestStarted, Usage
from themis_core.testing.server import ScriptedServer
from themis_plugin_otel.attributes import asked_messages, of_reply, of_request

Write = Callable[..., Path]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[InMemorySpanExporter, InMemoryMetricReader]]:
    """What an application that has set up OpenTelemetry gets."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(trace, "get_tracer", lambda name: provider.get_tracer(name))
    monkeypatch.setattr(metrics, "get_meter", lambda name: meters.get_meter(name))
    yield spans, reader
    provider.shutdown()
    meters.shutdown()


def test_an_application_s_own_provider_is_used_and_not_shut_down(write: Write, exported: Any) -> None:
    spans, reader = exported
    tracer = trace.get_tracer("application")
    with tracer.start_as_current_span("nightly") as parent:
        themis.run(write())
    names = [each.name for each in spans.get_finished_spans()]
    assert names == ["chat small-1", "themis.trial", "themis.run", "nightly"]
    (run,) = (each for each in spans.get_finished_spans() if each.name == "themis.run")
    assert run.parent is not None
    assert run.parent.span_id == parent.get_span_context().span_id
    data = reader.get_metrics_data()
    assert data is not None
    assert len(data.resource_metrics[0].scope_metrics[0].metrics) == 2


def test_a_failed_trial_and_its_run_say_so_by_codes(write: Write, exported: Any, server: ScriptedServer) -> None:
    server.reset({"faults": [{"match": "4711", "status": 400}]})
    themis.run(write())
    spans = {each.name: each for each in exported[0].get_finished_spans()}
    assert spans["chat small-1"].attributes["error.type"] == "bad_request"
    assert spans["themis.trial"].attributes["error.type"] == "bad_request"
    assert spans["themis.run"].attributes["themis.run.status"] == "failed"
    assert all(each.status.description in ("bad_request", "failed") for each in spans.values())


def test_a_run_that_is_answered_from_the_store_has_no_spans_of_trials(write: Write, exported: Any) -> None:
    file = write()
    themis.run(file)
    exported[0].clear()
    themis.run(file)
    assert {each.name for each in exported[0].get_finished_spans()} <= {"themis.run"}


def test_a_request_of_a_batch_has_a_span_of_its_own_under_the_run(
    write: Write, exported: Any, server: ScriptedServer
) -> None:
    server.reset({"answers": {"rule": "constant", "output": "A: 4"}, "usage": True})
    themis.run(write(batches={"poll_s": 0.05, "grace_s": 0.1}))
    spans = {each.name: each for each in exported[0].get_finished_spans()}
    assert spans.keys() == {"chat small-1", "themis.trial", "themis.run"}
    asked, trial, run = spans["chat small-1"], spans["themis.trial"], spans["themis.run"]
    assert asked.parent.span_id == trial.parent.span_id == run.context.span_id
    assert asked.attributes["themis.trial.id"] == trial.attributes["themis.trial.id"]
    assert asked.attributes["themis.batch.id"] == server.batches()[0]["id"]
    assert asked.attributes["gen_ai.usage.input_tokens"] > 0
    assert run.start_time <= asked.start_time < asked.end_time <= trial.start_time
    names = [each.name for each in exported[1].get_metrics_data().resource_metrics[0].scope_metrics[0].metrics]
    assert names == ["gen_ai.client.token.usage"]  # hours in a queue are not how fast it is


def started(engine: str, endpoint: str = "http://h.invalid:8000", **params: Any) -> RequestStarted:
    return RequestStarted(1, "r", "", engine, endpoint, 1, "answer", "s", "t", Request("m", [], params))


@pytest.mark.parametrize(
    ("engine", "operation", "provider"),
    [
        ("openai/chat", "chat", "openai"),
        ("openai/responses", "chat", "openai"),
        ("openai/completions", "text_completion", "openai"),
        ("openai/azure", "chat", "azure.ai.openai"),
        ("anthropic/messages", "chat", "anthropic"),
        ("google/gemini", "generate_content", "gcp.gemini"),
        ("bedrock/converse", "chat", "aws.bedrock"),
        ("mine/engine", "chat", "mine"),
    ],
)
def test_engines_are_named_as_the_conventions_do(engine: str, operation: str, provider: str) -> None:
    told = of_request(started(engine))
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == (operation, provider)


@pytest.mark.parametrize(
    ("endpoint", "server"),
    [
        ("https://api.h.invalid", ("api.h.invalid", 443)),
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("FileEngine", (None, None)),
        ("http://h:port", (None, None)),
    ],
)
def test_a_server_is_told_where_the_endpoint_is_one(endpoint: str, server: tuple[str | None, int | None]) -> None:
    told = of_request(started("a/b", endpoint))
    assert (told.get("server.address"), told.get("server.port")) == server


def test_settings_and_counts_have_their_attributes() -> None:
    params = {"top_p": 0.9, "top_k": 5, "n": 2, "response_format": {"type": "json_schema"}, "extra_body": {"x": "text"}}
    told = of_request(started("a/b", **params))
    assert {name: value for name, value in told.items() if name.startswith(("gen_ai.request", "gen_ai.output"))} == {
        "gen_ai.request.model": "m", "gen_ai.request.top_p": 0.9, "gen_ai.request.top_k": 5,
        "gen_ai.request.choice.count": 2, "gen_ai.output.type": "json",
    }  # fmt: skip
    reply = of_reply(Generation("answered", text="secret", usage=Usage(10, 5, 2, 3, 1), cost=0.5))
    assert reply == {
        "themis.outcome": "answered", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 2, "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.cache_creation.input_tokens": 1, "themis.cost": 0.5,
    }  # fmt: skip


def test_what_no_exporter_can_send_is_sent_as_near_to_it_as_can_be() -> None:
    told = of_request(started("a/b", top_k=2**70, stop=["\ud800"]))
    assert (told["gen_ai.request.top_k"], told["gen_ai.request.stop_sequences"]) == (str(2**70), ["?"])
    reply = of_reply(Generation("answered", finish_reason="\udfffstop", provider={"model": "m\ud800"}))
    assert (reply["gen_ai.response.finish_reasons"], reply["gen_ai.response.model"]) == (["?stop"], "m?")


def test_what_a_tool_gave_is_told_as_that() -> None:
    asked = asked_messages([{"role": "tool", "tool_call_id": "c1", "content": "4 degrees"}])
    assert json.loads(asked) == [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "4 degrees"}]}
    ]
