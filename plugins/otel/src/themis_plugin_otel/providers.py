"""Where spans and metrics go: the application's own providers, or such as the `OTEL_*` variables ask for.

Nothing global is changed. What ends a run waits for an exporter so long and no longer.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

__all__ = ["Providers"]

log = logging.getLogger("themis.otel")
NAME: Final = "themis"
PATIENCE_S: Final = 5.0
"""Seconds that the end of a run waits for what is still to be delivered."""
_QUIET: Final = ("opentelemetry.exporter", "opentelemetry.sdk")
"""Loggers that say the same of every batch that a dead collector does not take."""


class Providers:
    """A tracer and a meter, and their end. Raises RuntimeError for an exporter that is not installed."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []
        self._levels: dict[str, int] = {}
        self.delivered: list[_Watched] = []
        given = trace.get_tracer_provider()
        if not isinstance(given, trace.ProxyTracerProvider):
            # The application that runs Themis has set up OpenTelemetry: what it decided holds.
            self.tracer: Tracer = trace.get_tracer(NAME)
            self.meter: Meter = metrics.get_meter(NAME)
            return
        self._quieten()
        self.tracer, self.meter = self._own()

    def _own(self) -> tuple[Tracer, Meter]:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        resource = Resource.create({} if named else {"service.name": NAME})
        spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._ends.append(spans.shutdown)
        for exporter in _exporters("traces"):
            watched = _Watched(exporter)
            self.delivered.append(watched)
            spans.add_span_processor(BatchSpanProcessor(watched))  # type: ignore[arg-type]
        readers = [PeriodicExportingMetricReader(exporter) for exporter in _exporters("metrics")]
        counts = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self._ends.append(counts.shutdown)
        return spans.get_tracer(NAME), counts.get_meter(NAME)

    def end(self) -> None:
        """Deliver what is left, for `PATIENCE_S` at most; what can't be delivered is said and passed over."""
        if not self._ends:
            return
        ending = threading.Thread(target=self._shut_down, name="themis-otel-end", daemon=True)
        ending.start()
        ending.join(PATIENCE_S)
        if ending.is_alive():  # and goes on for a while, as a daemon; what it would say was said
            log.warning("otel: the collector did not take all within %g s, and the rest is lost", PATIENCE_S)
            return
        if lost := sum(each.lost for each in self.delivered):
            log.warning("otel: %d spans could not be delivered; the run is not affected", lost)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def _shut_down(self) -> None:
        for end in self._ends:
            try:
                end()
            except Exception as error:  # noqa: BLE001 - an exporter's fault harms no run
                log.debug("otel: %s: %s", type(error).__name__, error)

    def _quieten(self) -> None:
        for name in _QUIET:
            self._levels[name] = logging.getLogger(name).level
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class _Watched:
    """An exporter of spans that counts those which it could not deliver."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.lost = 0

    def export(self, spans: Any) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = self._exporter.export(spans)
        except Exception:
            self.lost += len(spans)
            raise
        if result is not SpanExportResult.SUCCESS:
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


def _exporters(signal: str) -> Iterator[Any]:
    """The exporters of `traces` or `metrics` that the environment names: OTLP over HTTP by default."""
    names = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    for name in (each.strip() for each in names.split(",")):
        if name in ("", "none"):
            continue
        if name == "otlp":
            protocol = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
            protocol = protocol or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
            name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
        found = [*entry_points(group=f"opentelemetry_{signal}_exporter", name=name)]
        if not found:
            package = f"opentelemetry-exporter-{name.replace('_', '-')}"
            raise RuntimeError(
                f"no exporter of {signal} named {name!r} is installed: pip install {package}, or a like one"
            )
        yield found[0].load()()
