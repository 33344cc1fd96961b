"""Requests over httpx: in Python alone, so wherever Python is, at twenty times the cost.

Requests are handed to the transport itself: a client around it doubles the cost of a request (merging of headers,
redirects, authentication, cookies, logging), none of which is wanted here. Each transport has one connection, since
httpx looks through all connections of one at each request.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

if "httpx" not in sys.modules:
    # Where rich is installed, httpx brings its own command line, and with it 60 ms and 5 MB. It can do without.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]

import httpx

from themis_http import transport_errors as of
from themis_http.carriers import JSON_TYPE, KEEP_ALIVE_S, Call, Way
from themis_http.transport_errors import Meaning

if sys.modules.get("httpx._main", httpx) is None:
    del sys.modules["httpx._main"]

__all__ = ["HttpxCarrier"]

_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})
_MAY_PASS = frozenset(
    {"UNEXPECTED_EOF_WHILE_READING", "TLSV1_ALERT_INTERNAL_ERROR", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"}
)
_CUT = ("disconnected", "closed connection")
_CERTIFICATE_FAULTS: Final = {10: "expired", 62: "name", 64: "name"}


class HttpxCarrier:
    """As many transports as there were requests at one time, each with one connection."""

    foreign: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError)

    def __init__(self, way: Way) -> None:
        self._url = httpx.URL(way.url)
        # Told the encoding, httpx does not look for it in all headers at each use of one.
        self._headers = httpx.Headers(dict(way.headers), encoding="latin-1")
        self._extensions = {"timeout": {"connect": way.connect_timeout_s, "read": None, "write": None, "pool": None}}
        self._trust = _trust(self._url.scheme)
        self._proxy = None if way.proxy is None else httpx.Proxy(way.proxy.url, headers=way.proxy.headers)
        self.tunnels = way.proxy is not None and self._url.scheme == "https"
        """Whether a proxy is first asked for a way to the server."""
        self._idle: list[httpx.AsyncHTTPTransport] = []

    def send(self, body: bytes | None, call: Call | None = None) -> _Reply:
        headers = httpx.Headers(self._headers)
        headers["host"] = self._url.netloc.decode("ascii")
        method, url, further = "POST", self._url, dict([JSON_TYPE])
        if call is not None:
            method, url, further = call.method, httpx.URL(call.url), dict(call.headers)
        headers.update(further)
        if body is not None:
            headers["content-length"] = str(len(body))
        stream = httpx.ByteStream(body or b"")
        request = httpx.Request(method, url, headers=headers, stream=stream, extensions=self._extensions)
        return _Reply(self, request)

    def take(self) -> httpx.AsyncHTTPTransport:
        """A transport that nobody uses."""
        if self._idle:
            return self._idle.pop()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(verify=self._trust, limits=limits, proxy=self._proxy)

    def give_back(self, transport: httpx.AsyncHTTPTransport) -> None:
        """What was taken can be used again: its last reply was read to the end."""
        self._idle.append(transport)

    def meaning(self, error: Exception) -> tuple[Meaning, str]:
        return _meaning(error, self._proxy is not None), str(error)

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()


class _Reply:
    def __init__(self, carrier: HttpxCarrier, request: httpx.Request) -> None:
        self._carrier = carrier
        self._request = request
        self._ended = False
        self._at_proxy = False
        """Whether the proxy has not yet made a way to the server, which so has seen nothing of the request."""

    async def __aenter__(self) -> _Reply:
        self._transport = self._carrier.take()
        if self._carrier.tunnels:
            self._request.extensions = {**self._request.extensions, "trace": self._note}
        try:
            self._response = await self._transport.handle_async_request(self._request)
        except BaseException as error:
            await self._transport.aclose()
            if self._at_proxy and isinstance(error, (httpx.ProtocolError, httpx.ReadError, httpx.WriteError)):
                raise httpx.ProxyError(str(error)) from error
            raise
        assert isinstance(self._response.stream, httpx.AsyncByteStream)
        self._stream = self._response.stream
        self._pieces: AsyncIterator[bytes] = aiter(self._stream)
        self.status = self._response.status_code
        return self

    async def _note(self, event: str, _: object) -> None:
        if event == "connection.connect_tcp.complete":
            self._at_proxy = True
        elif event.endswith(".start_tls.started"):
            self._at_proxy = False

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._stream.aclose()
        finally:
            if self._ended and not _more_came(self._transport):
                self._carrier.give_back(self._transport)
            else:
                await self._transport.aclose()

    def header(self, name: str) -> str:
        wanted = name.encode()
        return next(
            (value.decode("latin-1") for each, value in self._response.headers.raw if each.lower() == wanted), ""
        )

    def headers(self) -> Mapping[str, str]:
        # Backwards, so that of several with one name the first one counts, as in `header`.
        every = reversed(self._response.headers.raw)
        return {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in every}

    async def piece(self) -> bytes | None:
        piece = await anext(self._pieces, None)
        self._ended = piece is None
        return piece


def _more_came(transport: httpx.AsyncHTTPTransport) -> bool:
    """Whether the server sent more than its reply: it would be read as the beginning of the next one."""
    within: Any = next(iter(transport._pool.connections), None)
    if within is None:  # it is closed already
        return False
    # httpx has no other way to it; what is not found there counts as more, so that nothing wrong is read.
    while within is not None and not hasattr(within, "_h11_state"):
        within = getattr(within, "_connection", None)
    return within is None or bool(within._h11_state.trailing_data[0])


def _trust(scheme: str) -> ssl.SSLContext:
    # Reading the certificate authorities takes 20 ms, so it is left for URLs that need them; the others trust nobody.
    return httpx.create_ssl_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _meaning(error: Exception, proxied: bool) -> Meaning:
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return of.NO_CONNECTION_IN_TIME
        case httpx.TimeoutException() | TimeoutError():
            return of.NO_REPLY_IN_TIME
        case httpx.ProxyError():
            number = str(error)[:3]
            return of.proxy_refused(int(number) if number.isdecimal() else None)
        case httpx.ConnectError():
            return _unconnected(error, proxied)
        case httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return of.BAD_ADDRESS
        case httpx.LocalProtocolError():
            return of.NOT_SENT
        case httpx.ProtocolError() | httpx.DecodingError():
            return of.BROKEN if any(each in str(error) for each in _CUT) else of.NOT_HTTP
    return of.BROKEN


def _unconnected(error: Exception, proxied: bool) -> Meaning:
    causes = list(_beneath(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return of.certificate(_CERTIFICATE_FAULTS.get(cause.verify_code, ""))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            if cause.reason in _NOT_TLS:
                return of.NOT_TLS
            return of.NO_CONNECTION if not cause.reason or cause.reason in _MAY_PASS else of.NO_COMMON_TLS
    if proxied:
        return of.NO_PROXY
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return of.NO_SUCH_HOST
    return of.system_error(next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno), None))


def _beneath(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that it came of."""
    if error is not None:
        yield error
        for each in getattr(error, "exceptions", ()):
            yield from _beneath(each)
        yield from _beneath(error.__cause__ or error.__context__)
