"""Sends a body to one URL and brings back the body of a 200; everything else becomes an EngineError.

With `transport_errors` the only room that knows httpx and aiohttp, so it is imported when the first call is near.

Requests are handed to the transport itself: an `httpx.AsyncClient` around it doubles the cost of a request (merging
of headers, redirects, authentication, cookies, logging), none of which is wanted here.
"""

from __future__ import annotations

import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

if "httpx" not in sys.modules:
    # Where rich is installed, httpx brings its own command line, and with it 60 ms and 5 MB. It can do without.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from themis_core import EngineError
from themis_plugin_openai.environment import Proxy, unused_proxy
from themis_plugin_openai.failures import status_error
from themis_plugin_openai.redaction import Redaction
from themis_plugin_openai.transport_errors import FOREIGN, transport_error

if sys.modules.get("httpx._main", httpx) is None:
    del sys.modules["httpx._main"]

__all__ = ["Connection"]

KEEP_ALIVE_S: Final = 4.0
"""Less than the 5 s after which uvicorn, under most local model servers, closes an idle connection: a request sent
into one that is being closed is lost with an unknown outcome."""
SUCCESSES: Final = frozenset({200, 201, 202, 203})
"""Statuses whose body may be a completion; some gateways say that one was created, or accepted."""
LONGEST_ERROR_BODY: Final = 65_536
UNPACKED_PIECE: Final = 65_536
LARGE_BODY: Final = 1_000_000
"""From this size on aiohttp wants a body in pieces, and warns otherwise."""


class Connection:
    """Connections to one URL, kept alive between requests, opened as needed.

    There is no limit on their number and so no waiting for one: the caller decides how much is in flight, and
    cancelling a request that waits for a connection is where pools leak. Used from one event loop.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        redaction: Redaction,
        most_bytes: int,
        connect_timeout_s: float,
        proxy: Proxy | None = None,
    ) -> None:
        self._url = httpx.URL(url)
        self._address = url
        self._answered = False
        self._unused_proxy = None if proxy else unused_proxy(url)
        if proxy is not None and self._url.scheme == "http":  # for https, the request that opens the tunnel has them
            headers = {**headers, **proxy.headers}
        # Told the encoding, httpx does not look for it in all headers at each use of one.
        self._headers = httpx.Headers(dict(headers), encoding="latin-1")
        self._redaction = redaction
        self._most_bytes = most_bytes
        timeouts = {"connect": connect_timeout_s, "read": None, "write": None, "pool": None}
        self._extensions = {"timeout": timeouts}
        self._transport = AiohttpTransport(
            verify=_trust(self._url.scheme),
            client=self._session,
            proxy=None if proxy is None else httpx.Proxy(proxy.url, headers=proxy.headers),
        )

    def _session(self) -> aiohttp.ClientSession:
        context = self._transport.ssl_context
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # aiohttp would pass over proxies that it can't use, and read ~/.netrc
        )

    async def post(self, body: bytes) -> tuple[bytes, Mapping[str, str]]:
        """Send one body; return the body of a 200, decoded from gzip or deflate, and its headers, whose names are read
        in any case. Raises EngineError."""
        try:
            response = await self._transport.handle_async_request(self._request(body))
            try:
                return await self._content(response)
            finally:
                await response.stream.aclose()  # type: ignore[union-attr]
        except FOREIGN as error:
            if self._answered:
                failure = transport_error(error, self._redaction)
            else:
                failure = transport_error(error, self._redaction, self._address, self._unused_proxy)
        # Outside the handler, so that the foreign exception is not dragged along as context.
        raise failure

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def _request(self, body: bytes) -> httpx.Request:
        if len(body) >= LARGE_BODY:
            headers = httpx.Headers(self._headers)
            headers["content-length"] = str(len(body))
            return httpx.Request("POST", self._url, headers=headers, content=_pieces(body), extensions=self._extensions)
        # A body given as a stream spares the making of headers that aiohttp makes again: a third of a request's cost.
        request = httpx.Request("POST", self._url, stream=httpx.ByteStream(body), extensions=self._extensions)
        request.headers = self._headers
        request.read()
        return request

    async def _content(self, response: httpx.Response) -> tuple[bytes, Mapping[str, str]]:
        self._answered = True
        if response.status_code in SUCCESSES:
            return self._redaction.answer(await self._read(response)), response.headers
        try:
            content = await _beginning(response)
        except FOREIGN:
            content = b""  # the status alone says enough
        raise status_error(response.status_code, response.headers, content, self._redaction, self._address)

    async def _read(self, response: httpx.Response) -> bytes:
        length, encoding = _size_and_encoding(response)
        if length.isdigit() and int(length[:20]) > self._most_bytes:
            raise self._too_large()
        unpack = _decoder(encoding.decode("latin-1"))
        parts: list[bytes] = []
        size = 0
        async for received in response.stream:  # type: ignore[union-attr]
            for part in (received,) if unpack is None else _unpacked(unpack, received):
                size += len(part)
                if size > self._most_bytes:
                    raise self._too_large()
                parts.append(part)
        if unpack is not None and (not unpack.eof or unpack.unused_data):
            raise _undecodable("the compressed reply is cut, or goes on after its end")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> EngineError:
        message = f"the reply is larger than {self._most_bytes} bytes: raise max_reply_bytes if that is meant"
        return EngineError("reply_too_large", message, status=200, unknown_outcome=True)


def _trust(scheme: str) -> ssl.SSLContext:
    # Reading the certificate authorities takes 20 ms, so it is left for URLs that need them; the others trust nobody.
    return httpx.create_ssl_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _size_and_encoding(response: httpx.Response) -> tuple[bytes, bytes]:
    """The headers content-length and content-encoding as they came; asking httpx for one decodes all of them."""
    found = {b"content-length": b"", b"content-encoding": b""}
    for name, value in response.headers.raw:
        if (name := name.lower()) in found:
            found[name] = value
    return found[b"content-length"], found[b"content-encoding"]


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


async def _beginning(response: httpx.Response) -> bytes:
    """As much of an error's body as is worth reading, decoded if possible."""
    content = b""
    async for part in response.stream:  # type: ignore[union-attr]
        content += part
        if len(content) >= LONGEST_ERROR_BODY:
            break
    try:
        unpack = _decoder(response.headers.get("content-encoding", ""))
        return content if unpack is None else next(_unpacked(unpack, content), b"")
    except EngineError:
        return b""


def _decoder(encoding: str) -> zlib._Decompress | None:
    # `identity` is asked for, as answers are short and packing costs both sides more time than the bytes it saves; some
    # servers pack all the same.
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(47)  # 32 + 15: either format, told apart by its head
    raise _undecodable("the reply is compressed in a way that was not asked for")


def _unpacked(unpack: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Unpack in pieces, for 64 KiB can become 64 MiB."""
    try:
        while True:
            piece = unpack.decompress(packed, UNPACKED_PIECE)
            yield piece
            packed = unpack.unconsumed_tail
            if not packed and len(piece) < UNPACKED_PIECE:  # a full piece may leave more within, and no tail
                return
    except zlib.error:
        raise _undecodable("the compressed reply can't be decoded") from None


def _undecodable(message: str) -> EngineError:
    return EngineError("invalid_reply", message, retryable=True, status=200, unknown_outcome=True)
