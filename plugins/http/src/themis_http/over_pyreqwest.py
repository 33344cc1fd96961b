"""Requests over pyreqwest: a client in Rust, whose threads do the work of the wire.

A request that is under way can't be taken back: who no longer waits for it leaves it running. So each is told when its
attempt ends, and is given up shortly after that.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from pyreqwest import exceptions
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.http import Url
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.request import RequestBuilder, StreamRequest
from pyreqwest.response import Response, ResponseBodyReader

from themis_http import transport_errors as of
from themis_http.carriers import JSON_TYPE, KEEP_ALIVE_S, Call, Way
from themis_http.transport_errors import Meaning
from themis_pacing import attempt_ends

__all__ = ["PyreqwestCarrier"]

GRACE_S: Final = 1.0
"""Seconds after its deadline that a request is given up: whoever keeps the deadline says so first."""

_SYSTEM = re.compile(r"\(os error (\d+)\)")
_CERTIFICATE_FAULTS: Final = (
    ("CaUsedAsEndEntity", "authority"),
    ("expired", "expired"),
    ("not valid for name", "name"),
)
_MAY_PASS = re.compile(r"fatal alert: InternalError|DecryptError|BadRecordMac|DecodeError|unexpected eof|handshake eof")
_TLS = re.compile(
    r"fatal alert|corrupt message|peer (?:is incompatible|misbehaved)|rustls|tls handshake", re.IGNORECASE
)
_CUT = re.compile(r"unexpected EOF|end of file before message length", re.IGNORECASE)


class PyreqwestCarrier:
    """Connections of one pyreqwest client."""

    foreign: tuple[type[Exception], ...] = (exceptions.PyreqwestError, OSError)

    def __init__(self, way: Way) -> None:
        self._url = Url(way.url)
        self._proxied = way.proxy is not None
        self._client = _client(way)

    def send(self, body: bytes | None, call: Call | None = None) -> _Reply:
        request = self._client.post(self._url).header(*JSON_TYPE) if call is None else self._other(call)
        if body is not None:
            request = request.body_bytes(body)
        if (end := attempt_ends.get()) is not None:
            request = request.timeout(timedelta(seconds=max(0.0, end - time.monotonic()) + GRACE_S))
        return _Reply(request.build_streamed())

    def _other(self, call: Call) -> RequestBuilder:
        request = self._client.request(call.method, Url(call.url))
        for name, value in call.headers.items():
            request = request.header(name, value)
        return request.streamed_read_buffer_limit(0) if call.piecemeal else request

    def meaning(self, error: Exception) -> tuple[Meaning, str]:
        causes = _causes(error)
        return _meaning(error, causes, self._proxied), ": ".join(causes[-2:])

    async def close(self) -> None:
        await self._client.close()


class _Reply:
    __slots__ = ("_ended", "_reader", "_request", "_response", "status")

    def __init__(self, request: StreamRequest) -> None:
        self._request = request
        self._ended = False

    async def __aenter__(self) -> _Reply:
        self._response: Response = await self._request.__aenter__()
        self._reader: ResponseBodyReader = self._response.body_reader
        self.status = self._response.status
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._ended:
            await self._request.__aexit__(None, None, None)

    def header(self, name: str) -> str:
        try:
            return self._response.get_header(name) or ""
        except ValueError:  # not ASCII
            return ""

    def headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name in self._response.headers if (value := self.header(name))}

    async def piece(self) -> bytes | None:
        piece = await self._reader.read_chunk()
        if piece is None:
            self._ended = True
            return None
        return piece.to_bytes()


def _client(way: Way) -> Client:
    builder = (
        ClientBuilder()
        .default_headers(dict(way.headers))
        .connect_timeout(timedelta(seconds=way.connect_timeout_s))
        .pool_idle_timeout(timedelta(seconds=KEEP_ALIVE_S))
        .http1_only()
        .follow_redirects(False)
        .referer(False)
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
    )
    builder = builder.no_proxy() if way.proxy is None else builder.proxy(_proxy(way))
    if way.url.startswith("https:"):
        builder = builder.add_root_certificate_pem(_authorities())
    return builder.build()


def _proxy(way: Way) -> ProxyBuilder:
    assert way.proxy is not None
    proxy = ProxyBuilder.all(way.proxy.url)
    for value in way.proxy.headers.values():
        proxy = proxy.custom_http_auth(value)
    return proxy


def _authorities() -> bytes:
    """Those of SSL_CERT_FILE; without it, those that come with Python packages, for systems that have none."""
    if file := os.environ.get("SSL_CERT_FILE"):
        return Path(file).read_bytes()
    if os.environ.get("SSL_CERT_DIR"):
        return b""  # the system's, which are then read from there
    import certifi

    return Path(certifi.where()).read_bytes()


def _causes(error: Exception) -> list[str]:
    """What the libraries within say, from the outside to the inside, but for the address, which may be long."""
    details = getattr(error, "details", None) or {}
    causes = [str(each.get("message", "")) for each in details.get("causes") or ()]
    told = [each for each in causes if not each.startswith("error sending request for url")]
    return told or [str(getattr(error, "message", error))]


def _meaning(error: Exception, causes: list[str], proxied: bool) -> Meaning:
    all_causes = "\n".join(causes)
    match error:
        case exceptions.BuilderError() | exceptions.RedirectError():
            return of.NOT_SENT
        case exceptions.ConnectTimeoutError() | exceptions.PoolTimeoutError():
            return of.NO_CONNECTION_IN_TIME
        case exceptions.RequestTimeoutError():
            return of.NO_REPLY_IN_TIME
        case exceptions.ConnectError() if "client error (Connect)" in all_causes:
            return _unconnected(all_causes, proxied)
        case exceptions.DecodeError() if not _CUT.search(all_causes):
            return of.NOT_HTTP
        case exceptions.StatusError():
            return of.NOT_HTTP
    return of.BROKEN


def _unconnected(causes: str, proxied: bool) -> Meaning:
    if "invalid peer certificate" in causes:
        return of.certificate(next((fault for words, fault in _CERTIFICATE_FAULTS if words in causes), ""))
    if "InvalidContentType" in causes:
        return of.NOT_TLS
    if _TLS.search(causes):
        return of.NO_CONNECTION if _MAY_PASS.search(causes) else of.NO_COMMON_TLS
    if "tunnel error" in causes and "failed to create underlying connection" not in causes:
        return of.proxy_refused(407 if "authorization required" in causes else None)
    if proxied:
        return of.NO_PROXY
    if "dns error" in causes:
        return of.NO_SUCH_HOST
    found = _SYSTEM.search(causes)
    return of.system_error(int(found[1]) if found else None)
