"""Specs that name the observer, a server that answers, and a collector that keeps what it is sent."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from themis_core.testing.server import ScriptedServer

KEY = "sk-canary-5f3a9c71d2e84b60"


class Collector:
    """An OTLP collector over HTTP on loopback: spans and metrics as they came."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.bodies.append((self.path, body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        requests = [ExportTraceServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/traces"]
        return [
            span
            for request in requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def metrics(self) -> list[Any]:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        requests = [ExportMetricsServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/metrics"]
        return [
            metric
            for request in requests
            for of_resource in request.resource_metrics
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        ]

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    started = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.endpoint)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("TRACEPARENT", "OTEL_SERVICE_NAME", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"answers": {"rule": "constant", "output": "A: 4"}, "usage": True}) as started:
        yield started


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, server: ScriptedServer) -> Write:
    """Writes a spec of one item; `observers` names the plugin."""

    def spec(observers: tuple[str, ...] = ("otel",), **policy: Any) -> Path:
        rows = [{"id": "1", "q": "Is the answer 4711?", "gold": "A: 4"}]
        benchmark = {
            "benchmark_id": "traced",
            "models": [{"model_id": "m", "model": "small-1", "provider": "openai/chat",
                        "extras": {"base_url": server.base_url}}],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "inference_grid": {"params": {"temperature": 0.5, "max_tokens": 9, "seed": 3, "stop": ["END"]}},
            "slices": [
                {
                    "slice_id": "s",
                    "dataset": {"source": "files/inline", "extras": {"rows": rows}, "fields": {"reference": "gold"}},
                    "generation": {},
                    "scores": [{"name": "right", "metrics": ["text/exact_match"]}],
                }
            ],
        }  # fmt: skip
        project = {
            "observers": list(observers),
            "execution_policy": {"backoff_base_s": 0.01, **policy},
            "storage": {"backend": "sqlite", "root_dir": "runs"},
        }
        file = tmp_path / "traced.yaml"
        file.write_text(yaml.safe_dump({"project": project, "benchmark": benchmark}))
        return file

    return spec
