"""The hooks of the plugin `otel`. OpenTelemetry is imported when a run begins whose spec names it in `observers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import RequestFailed, RequestFinished, RequestStarted, RunFinished, RunStarted, TrialFinished
    from themis_plugin_otel.tracing import Tracing

THEMIS_CONTRACT_VERSION = 1

_runs: dict[str, Tracing] = {}
"""What is under way in this process, by run id."""


@hookimpl
def themis_run_started(event: RunStarted) -> None:
    from themis_plugin_otel.tracing import begin

    _runs[event.run_id] = begin(event)


@hookimpl
def themis_request_started(event: RequestStarted) -> None:
    if (run := _runs.get(event.run_id)) is not None:
        run.request_started(event)


@hookimpl
def themis_request_finished(event: RequestFinished) -> None:
    if (run := _runs.get(event.started.run_id)) is not None:
        run.request_finished(event)


@hookimpl
def themis_request_failed(event: RequestFailed) -> None:
    if (run := _runs.get(event.started.run_id)) is not None:
        run.request_failed(event)


@hookimpl
def themis_trial_finished(event: TrialFinished) -> None:
    if (run := _runs.get(event.run_id)) is not None:
        run.trial_finished(event)


@hookimpl
def themis_run_finished(event: RunFinished, summary: Mapping[str, Any]) -> None:
    if (run := _runs.pop(event.run_id, None)) is not None:
        run.finished(event)
