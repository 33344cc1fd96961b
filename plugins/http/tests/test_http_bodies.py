"""What is read of a body: no more than is of use, however it was packed."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterable, Mapping
from itertools import chain, repeat

import pytest

from themis_core import EngineError
from themis_http.connection import _read

BODY = b'{"said": 1}'
PACKED = gzip.compress(BODY)
MOST = 1 << 20
JUNK = bytes(65_536)
ENDLESS_NAME = b"\x1f\x8b\x08\x08" + bytes(6)  # of a gzip file, which is packed without it


class Pieces:
    """A packed reply; it counts what was read of it."""

    status = 200

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.read = 0

    def header(self, name: str) -> str:
        return "gzip" if name == "content-encoding" else ""

    def headers(self) -> Mapping[str, str]:
        return {}

    async def piece(self) -> bytes | None:
        piece = next(self._pieces, None)
        self.read += len(piece or b"")
        return piece

    async def __aenter__(self) -> Pieces:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def body(self) -> bytes:
        taken: list[bytes] = []
        asyncio.run(_read(self, taken.append, MOST))
        return b"".join(taken)


@pytest.mark.parametrize("content", [BODY, b"", BODY * 20_000])
def test_a_packed_body_is_read_in_whatever_pieces_it_comes(content: bytes) -> None:
    for packed in (gzip.compress(content), zlib.compress(content)):
        assert Pieces([packed]).body() == content
        assert Pieces([*(packed[at : at + 1] for at in range(len(packed))), b""]).body() == content


@pytest.mark.parametrize(
    ("pieces", "code", "message"),
    [
        ([PACKED[:-1]], "invalid_reply", "the compressed reply is cut"),
        ([PACKED + b"\0"], "invalid_reply", "the compressed reply goes on after its end"),
        ([PACKED, b"\0"], "invalid_reply", "the compressed reply goes on after its end"),
        (chain([PACKED], repeat(JUNK)), "invalid_reply", "the compressed reply goes on after its end"),
        (chain([PACKED + b"\0"], repeat(JUNK)), "invalid_reply", "the compressed reply goes on after its end"),
        (chain([ENDLESS_NAME], repeat(b"x" * 65_536)), "reply_too_large", "the reply is larger than"),
        (chain([gzip.compress(b"")[:10]], repeat(b"\0\0\0\xff\xff" * 1000)), "reply_too_large", "the reply is larger"),
    ],
    ids=["cut", "one more byte", "one more piece", "junk", "a byte and junk", "endless name", "empty blocks"],
)  # fmt: skip
def test_a_packed_body_that_is_not_whole_is_left_at_once(pieces: Iterable[bytes], code: str, message: str) -> None:
    reply = Pieces(pieces)
    with pytest.raises(EngineError, match=message) as caught:
        reply.body()
    assert caught.value.code == code
    assert reply.read <= MOST + 2 * len(JUNK)
