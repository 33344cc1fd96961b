"""Sends requests to one server and brings back the body of a 200; everything else becomes an EngineError.

What carries it is in `carriers`; here is what is made of a reply, whoever carried it.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from themis_core import EngineError
from themis_http.bodies import json_object
from themis_http.carriers import Call, Carrier, Reply
from themis_http.dialect import Dialect
from themis_http.environment import unused_proxy
from themis_http.failures import status_error
from themis_http.redaction import Redaction
from themis_http.transport_errors import transport_error

__all__ = ["Connection", "Received"]

SUCCESSES: Final = frozenset({200, 201, 202, 203})
"""Statuses whose body may be a completion; some gateways say that one was created, or accepted."""
LONGEST_ERROR_BODY: Final = 65_536
UNPACKED_PIECE: Final = 65_536
LINGER_S: Final = 0.25


class Received(NamedTuple):
    """What came back."""

    body: list[bytes]
    """The one body, unpacked. Who reads it takes it out, so that a huge one is there once while it is parsed."""
    latency_s: float
    """From the sending of the request to the last byte of the body, as the event loop saw it."""
    headers: Callable[[], Mapping[str, str]]
    """Names in lower case. Most answers need none, and to make them all costs as much as the rest."""


class Connection:
    """The way to one server, over a carrier."""

    def __init__(
        self,
        url: str,
        carrier: Carrier,
        *,
        redaction: Redaction,
        most_bytes: int,
        dialect: Dialect,
        proxied: bool = False,
    ) -> None:
        """`url` is the carrier's own address."""
        self.url = url
        self.dialect = dialect
        self._carrier = carrier
        self._answered = False
        self._unused_proxy = None if proxied else unused_proxy(url)
        self.redaction = redaction
        self._most_bytes = most_bytes

    async def post(self, body: bytes) -> Received:
        """Send JSON to the own address; return the body of a 200, decoded from gzip or deflate. Raises EngineError."""
        return await self.call(body)

    async def call(self, body: bytes | None, call: Call | None = None, most_bytes: int | None = None) -> Received:
        """Send any request; return the body of a 200 of at most so many bytes. Raises EngineError."""
        parts: list[bytes] = []
        latency_s, headers = await self._send(body, call, parts.append, most_bytes or self._most_bytes)
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return Received([self.redaction.answer(whole)], latency_s, headers)

    async def stream(
        self,
        body: bytes | None,
        call: Call | None,
        take: Callable[[bytes], object],
        most_bytes: int | None = None,
    ) -> Received:
        """Send a request, and hand on the pieces of the body of a 200 as they come, until `take` says True: it has all.

        The pieces are as the server sent them: who makes an answer of them takes secrets out. The body of what is
        returned is empty.
        """
        return Received([], *await self._send(body, call, take, most_bytes or self._most_bytes))

    def json_of(self, received: Received) -> dict[str, Any]:
        """The JSON object that was received; an error in it is raised as the EngineError that it stands for."""
        return json_object(received.body.pop(), self.redaction, self.url, received.headers, self.dialect)

    async def close(self) -> None:
        """Close all connections."""
        await self._carrier.close()

    async def _send(
        self, body: bytes | None, call: Call | None, take: Callable[[bytes], object], most_bytes: int
    ) -> tuple[float, Callable[[], Mapping[str, str]]]:
        carrier = self._carrier
        begun = time.perf_counter()
        try:
            async with carrier.send(body, call) as reply:
                self._answered = True
                if reply.status not in SUCCESSES:
                    raise await self._refusal(reply, call)
                await _read(reply, take, most_bytes)
            return time.perf_counter() - begun, reply.headers
        except carrier.foreign as error:
            failure = self._failure(error)
        # Outside the handler, so that the foreign exception is not dragged along as context.
        raise failure

    def _failure(self, error: Exception) -> EngineError:
        meaning, details = self._carrier.meaning(error)
        if self._answered:
            return transport_error(error, meaning, details, self.redaction)
        unused = self._unused_proxy
        return transport_error(error, meaning, details, self.redaction, first_at=self.url, unused=unused)

    async def _refusal(self, reply: Reply, call: Call | None) -> EngineError:
        try:
            content = await _beginning(reply)
        except self._carrier.foreign:
            content = b""  # the status alone says enough
        url = self.url if call is None else call.url
        return status_error(reply.status, reply.headers(), content, self.redaction, url, self.dialect)


async def _read(reply: Reply, take: Callable[[bytes], object], most_bytes: int) -> None:
    """Hand on the pieces of a body, unpacked, until it ends or one makes `take` say True. Raises EngineError."""
    length = reply.header("content-length")
    if length.isdigit() and int(length[:20]) > most_bytes:
        raise _too_large(most_bytes)
    unpack = _decoder(reply.header("content-encoding"))
    size = packed = 0
    while (received := await reply.piece()) is not None:
        packed += len(received)
        if packed > most_bytes:  # also if it unpacks to little, or to nothing
            raise _too_large(most_bytes)
        for part in (received,) if unpack is None else _unpacked(unpack, received):
            size += len(part)
            if size > most_bytes:
                raise _too_large(most_bytes)
            if take(part) is True:
                await _linger(reply)
                return
    if unpack is not None and not unpack.eof:
        raise _undecodable("the compressed reply is cut")


async def _linger(reply: Reply) -> None:
    """Wait a little for the end of a body that holds nothing more of worth: its connection can then be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while await reply.piece() is not None:
                pass


def _too_large(most_bytes: int) -> EngineError:
    message = f"the reply is larger than {most_bytes} bytes: raise max_reply_bytes if that is meant"
    return EngineError("reply_too_large", message, status=200, unknown_outcome=True)


async def _beginning(reply: Reply) -> bytes:
    """As much of an error's body as is worth reading, decoded if possible."""
    content = b""
    while len(content) < LONGEST_ERROR_BODY and (part := await reply.piece()) is not None:
        content += part
    try:
        unpack = _decoder(reply.header("content-encoding"))
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
        while not unpack.eof:
            piece = unpack.decompress(packed, UNPACKED_PIECE)
            yield piece
            packed = unpack.unconsumed_tail
            if not packed and len(piece) < UNPACKED_PIECE:  # a full piece may leave more within, and no tail
                break
    except zlib.error:
        raise _undecodable("the compressed reply can't be decoded") from None
    # Beyond its end, zlib would keep all that comes, and copy it anew for each piece.
    if unpack.eof and (packed or unpack.unused_data):
        raise _undecodable("the compressed reply goes on after its end")


def _undecodable(message: str) -> EngineError:
    return EngineError("invalid_reply", message, retryable=True, status=200, unknown_outcome=True)
