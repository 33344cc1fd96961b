"""One S3-compatible server per session; and what lies between it and its clients when something is wrong."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from themis_blobs.testing import S3Server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3") / "data") as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, in the environment of this process."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


class Between(ThreadingHTTPServer):
    """Passes requests on to a server, but for those that a fault is meant for."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.to = port
        self.faults: list[tuple[str, str]] = []
        """Method and fault of the next requests of that method: `503`, `403`, `hang`, `cut`, `lost`, `garbled`."""
        self.seen: list[tuple[str, str]] = []
        self.together = threading.Barrier(1)
        """Requests that go on only when so many are there."""
        self.at_once = 0
        self.most_at_once = 0
        self.ended = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fault_of(self, method: str, path: str) -> str | None:
        with self._lock:
            self.seen.append((method, path))
            for each in self.faults:
                if each[0] == method:
                    self.faults.remove(each)
                    return each[1]
        return None

    def count(self, by: int) -> None:
        with self._lock:
            self.at_once += by
            self.most_at_once = max(self.most_at_once, self.at_once)


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Between

    def log_message(self, *_: Any) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        fault = self.server.fault_of(self.command, self.path)
        if fault in ("503", "403"):
            self._reply(int(fault), b"<Error><Code>Said</Code><Message>by the test</Message></Error>")
            return
        if fault == "hang":
            self.server.ended.wait()
            self.close_connection = True
            return
        self.server.count(1)
        try:
            self.server.together.wait(10)
            status, headers, data = self._ask(body)
        finally:
            self.server.count(-1)
        if fault == "lost":  # done, and nobody learns of it
            self.close_connection = True
        elif fault == "cut":
            self._reply(status, data[: len(data) // 2], headers)
            self.close_connection = True
        elif fault == "garbled":
            self._reply(status, data[: len(data) // 2], {**headers, "content-length": str(len(data) // 2)})
        else:
            self._reply(status, data, headers)

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=20)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            reply = connection.getresponse()
            data = reply.read()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            headers.pop("transfer-encoding", None)
            if self.command != "HEAD":
                headers["content-length"] = str(len(data))
            return reply.status, headers, data
        finally:
            connection.close()

    def _reply(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {"content-length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on


@pytest.fixture
def between(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """What all requests to the server go through."""
    server = Between(s3.port)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
