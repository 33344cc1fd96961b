"""Files of JSON lines, such as the results of a batch, which may be too long to be held in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from typing import Any, Final

from themis_core import EngineError
from themis_http.answers import invalid
from themis_http.carriers import Call
from themis_http.engine import HttpEngine

__all__ = ["first_json_line", "json_lines"]

MOST_BYTES: Final = 4 * 2**30
SPOOLED: Final = 4 * 2**20
"""Bytes beyond which a file is kept on the disk."""
LONGEST_FIRST_LINE: Final = 32 * 2**20


async def json_lines(engine: HttpEngine, path: str, most_bytes: int = MOST_BYTES) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a file that the engine's server has at a path, keys that it repeats taken out.

    The whole file is there before the first one is read. Raises EngineError.
    """
    with tempfile.SpooledTemporaryFile(SPOOLED) as kept:
        await engine.connection().stream(None, Call("GET", engine.url(path)), kept.write, most_bytes)
        kept.seek(0)
        for number, line in enumerate(kept, 1):
            if line.strip():
                yield _object(engine, line, number)


async def first_json_line(engine: HttpEngine, path: str) -> dict[str, Any] | None:
    """The first JSON object of such a file, of which no more is fetched; None if it has none. Raises EngineError."""
    kept = bytearray()

    def take(piece: bytes) -> bool:
        kept.extend(piece)
        return b"\n" in kept.lstrip() or len(kept) > LONGEST_FIRST_LINE

    await engine.connection().stream(None, Call("GET", engine.url(path)), take, MOST_BYTES)
    line = kept.lstrip().partition(b"\n")[0]
    return _object(engine, bytes(line) + b"\n", 1) if line else None


def _object(engine: HttpEngine, line: bytes, number: int) -> dict[str, Any]:
    try:
        found = json.loads(engine.connection().redaction.answer(line).decode("utf-8"))
    except (ValueError, RecursionError):
        if not line.endswith(b"\n"):
            raise EngineError("connection", "the file that was fetched is not whole", retryable=True) from None
        raise invalid(f"line {number} of the file that was fetched is no JSON") from None
    if not isinstance(found, dict):
        raise invalid(f"line {number} of the file that was fetched is no JSON object")
    return found
