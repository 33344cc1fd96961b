"""The spans and metrics of one run.

run ─┬ trial ─ request (one per attempt; those of judges under the trial that they judge)
     └ request of a batch (it is over before its trial is worked on, so it names that one, and is not within it)
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from themis_core import RequestFailed, RequestFinished, RequestStarted, RunFinished, RunStarted, TrialFinished
from themis_plugin_otel.attributes import (
    asked_messages,
    captures_content,
    of_reply,
    of_request,
    operation,
    printable,
    said_messages,
    sendable,
)
from themis_plugin_otel.providers import Providers

__all__ = ["Tracing", "begin"]

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(4**power for power in range(14))
"""Bounds of the histograms' buckets, as the conventions advise."""


def begin(event: RunStarted) -> Tracing:
    """Begin to trace a run. Raises RuntimeError if what the environment asks for is not installed."""
    try:
        return Tracing(event, Providers())
    except ImportError as error:
        raise RuntimeError(f"{error}: pip install 'themis-plugin-otel[otlp]'") from error


class Tracing:
    """One run. Its methods are called in one thread."""

    def __init__(self, event: RunStarted, providers: Providers) -> None:
        self._providers = providers
        self._tracer = providers.tracer
        self._captures = captures_content()
        self._seconds = providers.meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )  # fmt: skip
        self._tokens = providers.meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )  # fmt: skip
        manifest = event.manifest
        self._run = self._tracer.start_span(
            "themis.run",
            _parent(),
            attributes={
                "themis.run.id": event.run_id,
                "themis.benchmark.id": str(manifest.get("benchmark", {}).get("benchmark_id", "")),
                "themis.spec.digest": str(manifest.get("spec_digest", "")),
                "themis.version": str(manifest.get("themis", "")),
                "themis.trials": int(manifest.get("trials", 0)),
            },
        )
        self._under_run = trace.set_span_in_context(self._run)
        self._trials: dict[tuple[str, str], Span] = {}
        self._requests: dict[int, Span] = {}

    def request_started(self, event: RequestStarted) -> None:
        request = event.request
        attributes = of_request(event)
        under, begun = self._under_run, None
        if event.batch:
            begun = _nanoseconds(event.at)
        else:
            under = trace.set_span_in_context(self._trial(event.slice_id, event.trial_id))
        span = self._tracer.start_span(
            printable(f"{attributes['gen_ai.operation.name']} {request.model_id}"), under, SpanKind.CLIENT, attributes,
            start_time=begun,
        )  # fmt: skip
        if self._captures:
            span.set_attribute("gen_ai.input.messages", asked_messages(request.messages))
        self._requests[event.number] = span

    def request_finished(self, event: RequestFinished) -> None:
        reply = of_reply(event.generation)
        common = operation(event.started)
        if "gen_ai.response.model" in reply:
            common["gen_ai.response.model"] = reply["gen_ai.response.model"]
        self._record_seconds(event, common)
        for kind in ("input", "output"):
            if (count := reply.get(f"gen_ai.usage.{kind}_tokens")) is not None:
                self._tokens.record(count, {**common, "gen_ai.token.type": kind})
        if (span := self._requests.pop(event.started.number, None)) is not None:
            span.set_attributes(reply)
            if self._captures:
                span.set_attribute("gen_ai.output.messages", said_messages(event.generation))
            span.end()

    def request_failed(self, event: RequestFailed) -> None:
        # The code alone: what a provider says in its errors may repeat the prompt.
        failure: dict[str, Any] = {"error.type": event.code}
        self._record_seconds(event, {**operation(event.started), **failure})
        if (span := self._requests.pop(event.started.number, None)) is not None:
            if event.status is not None:
                failure["http.response.status_code"] = event.status
            span.set_attributes({**failure, "themis.retryable": event.retryable})
            span.set_status(Status(StatusCode.ERROR, event.code))
            span.end()

    def trial_finished(self, event: TrialFinished) -> None:
        span = self._trials.pop((event.slice_id, event.trial_id), None)
        if span is None:
            if event.reused:  # nothing was asked, so there is nothing to see the time of
                return
            span = self._trial(event.slice_id, event.trial_id)
            self._trials.pop((event.slice_id, event.trial_id), None)
        span.set_attributes(
            sendable(
                {
                    "themis.item.id": event.item_id,
                    "themis.model.id": event.model_id,
                    "themis.prompt_variant.id": event.prompt_variant_id,
                    "themis.sample_index": event.sample_index,
                    "themis.outcome": event.outcome,
                }
            )
        )
        for entry in event.scores:
            scored = {"gen_ai.evaluation.name": f"{entry.score}/{entry.metric}"}
            if entry.result.value is None:
                span.add_event("gen_ai.evaluation.result", {**scored, "error.type": entry.result.reason or "unscored"})
            else:
                span.add_event(
                    "gen_ai.evaluation.result", {**scored, "gen_ai.evaluation.score.value": entry.result.value}
                )
        if event.outcome == "failed":
            code = event.error_code or "engine_error"
            span.set_attribute("error.type", code)
            span.set_status(Status(StatusCode.ERROR, code))
        span.end()

    def finished(self, event: RunFinished) -> None:
        """End all spans, and deliver what is left."""
        for span in (*self._requests.values(), *self._trials.values()):
            span.set_attribute("error.type", "cancelled")
            span.end()
        self._run.set_attribute("themis.run.status", event.status)
        counts = {f"themis.trials.{name}": each for name, each in event.counts.items() if isinstance(each, int)}
        self._run.set_attributes(counts)
        if event.status != "completed":
            self._run.set_attribute("error.type", event.status)
            self._run.set_status(Status(StatusCode.ERROR, event.status))
        self._run.end()
        self._providers.end()

    def _record_seconds(self, event: RequestFinished | RequestFailed, attributes: dict[str, Any]) -> None:
        if not event.started.batch:  # hours at a provider say nothing of how fast a model is
            self._seconds.record(event.seconds, attributes)

    def _trial(self, slice_id: str, trial_id: str) -> Span:
        key = slice_id, trial_id
        if key not in self._trials:
            attributes = {"themis.slice.id": slice_id, "themis.trial.id": trial_id}
            self._trials[key] = self._tracer.start_span("themis.trial", self._under_run, attributes=attributes)
        return self._trials[key]


def _nanoseconds(at: str) -> int:
    """A time of an event, as spans have it."""
    return round(datetime.fromisoformat(at).timestamp() * 1e9)


def _parent() -> Context:
    """The span that the run is part of: the current one, or what started the process, by TRACEPARENT."""
    if trace.get_current_span().get_span_context().is_valid:
        return context.get_current()
    carrier = {name: os.environ[name.upper()] for name in ("traceparent", "tracestate") if name.upper() in os.environ}
    return TraceContextTextMapPropagator().extract(carrier)
