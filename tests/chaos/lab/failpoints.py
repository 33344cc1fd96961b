"""Named instants at which a worker kills itself: seams of the code, wrapped in the worker's own process.

Instants inside the database's own writes are the shim's.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["FAILPOINTS", "OF_BATCHES", "OF_BLOBS", "install", "is_part"]


def is_part(descriptor: int) -> bool:
    """Whether it is a blob file that does not have its name yet."""
    return Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".part"


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed, and yet alive")


class _Countdown:
    def __init__(self, nth: int) -> None:
        self._left = nth

    def step(self, last_act: Callable[[], None] | None = None) -> None:
        self._left -= 1
        if self._left == 0:
            if last_act:
                last_act()
            die()


def _wrap(owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Any = None) -> None:
    whole = getattr(owner, name)

    @wraps(whole)
    def wrapped(*args: Any, **named: Any) -> Any:
        if before:
            before(*args, **named)
        result = whole(*args, **named)
        if after:
            after(*args, **named)
        return result

    setattr(owner, name, wrapped)


def _of_commit(count: _Countdown) -> Callable[..., None]:
    return lambda database, sql, *_: count.step() if sql == "COMMIT" else None


def _before_the_commit(count: _Countdown) -> None:
    from themis_sql import Database

    _wrap(Database, "run", before=_of_commit(count))


def _after_the_commit(count: _Countdown) -> None:
    from themis_sql import Database

    _wrap(Database, "run", after=_of_commit(count))


def _in_the_middle_of_a_batch(count: _Countdown) -> None:
    from themis_sql import Database

    _wrap(Database, "write", after=lambda *_: count.step())


def _before_acknowledging(count: _Countdown) -> None:
    from themis_core.execution.saving import Saving

    _wrap(Saving, "_count", before=lambda *_: count.step())


def _while_a_blob_is_written(count: _Countdown) -> None:
    def tear(descriptor: int) -> None:
        if is_part(descriptor):
            count.step(lambda: os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2))

    _wrap(os, "fsync", before=tear)


def _before_a_blob_has_its_name(count: _Countdown) -> None:
    _wrap(os, "replace", before=lambda source, *_: count.step() if str(source).endswith(".part") else None)


def _after_a_blob_has_its_name(count: _Countdown) -> None:
    _wrap(os, "replace", after=lambda source, *_: count.step() if str(source).endswith(".part") else None)


def _wrap_async(owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Any = None) -> None:
    whole = getattr(owner, name)

    @wraps(whole)
    async def wrapped(*args: Any, **named: Any) -> Any:
        if before:
            before(*args, **named)
        result = await whole(*args, **named)
        if after:
            after(*args, **named)
        return result

    setattr(owner, name, wrapped)


def _around(module: str, owner: str, name: str, when: str) -> Callable[[_Countdown], None]:
    """A failpoint before or after an asynchronous method."""

    def install(count: _Countdown) -> None:
        kind = getattr(importlib.import_module(module), owner)
        _wrap_async(kind, name, **{when: lambda *_, **__: count.step()})

    return install


def _while_a_batch_is_made(count: _Countdown) -> None:
    """The request is at the provider, which takes its time to answer."""
    from themis_http import HttpEngine

    def soon(engine: Any, method: str, path: str, **_: Any) -> None:
        if method == "POST" and path.endswith(("/batches", ":batchGenerateContent")):
            asyncio.get_running_loop().call_later(IN_THE_ANSWER_S, count.step)

    _wrap_async(HttpEngine, "call", before=soon)


IN_THE_ANSWER_S = 0.03
_HANDING = ("themis_core.execution.batch_handing", "Handing")
_RESULTS = ("themis_core.execution.batch_results", "BatchResults")
_CALLS = ("themis_core.execution.batch_calls", "BatchCalls")
_WIRE = ("themis_plugin_openai.batches", "TakesBatches")
OF_BATCHES: dict[str, Callable[[_Countdown], None]] = {
    "before a batch is intended": _around(*_HANDING, "submit", "before"),
    "after it is intended, before it is submitted": _around(*_CALLS, "submit", "before"),
    "after its file is uploaded": _around(*_WIRE, "_uploaded", "after"),
    "while it is made": _while_a_batch_is_made,
    "after it is made": _around(*_CALLS, "submit", "after"),
    "after it is found": _around(*_CALLS, "find", "after"),
    "before its ticket is noted": _around(*_HANDING, "note_ticket", "before"),
    "after its ticket is noted": _around(*_HANDING, "note_ticket", "after"),
    "before a look": _around(*_CALLS, "collect", "before"),
    "after a look": _around(*_CALLS, "collect", "after"),
    "before answers are stored": _around(*_RESULTS, "_save", "before"),
    "after answers are stored": _around(*_RESULTS, "_save", "after"),
    "after all answers are stored": _around(*_RESULTS, "store", "after"),
    "before its end is noted": _around(*_HANDING, "end", "before"),
    "after its end is noted": _around(*_HANDING, "end", "after"),
}
"""Instants of a batch, which only a benchmark that is asked by batches gets to."""


def _while_long_texts_are_sent(count: _Countdown) -> None:
    from themis_blobs.buckets import BucketObjects

    _wrap(BucketObjects, "put", after=lambda _, name, *__: count.step() if name.endswith(".zst") else None)


def _before_the_transaction_of_sent_texts(count: _Countdown) -> None:
    from themis_blobs.url import UrlBlobs

    _wrap(UrlBlobs, "write", after=lambda *_: count.step())


def _before_the_commit_of_sent_texts(count: _Countdown) -> None:
    from themis_blobs.url import UrlBlobs

    _wrap(UrlBlobs, "missing", after=lambda *_: count.step())


def _among_long_texts_of_the_database(count: _Countdown) -> None:
    from themis_plugin_postgres.table_blobs import TableBlobs

    _wrap(TableBlobs, "write", after=lambda *_: count.step())


def _before_the_commit_in_postgres(count: _Countdown) -> None:
    from themis_plugin_postgres.database import PostgresDatabase

    _wrap(PostgresDatabase, "run", before=_of_commit(count))


def _after_the_commit_in_postgres(count: _Countdown) -> None:
    from themis_plugin_postgres.database import PostgresDatabase

    _wrap(PostgresDatabase, "run", after=_of_commit(count))


OF_BLOBS: dict[str, Callable[[_Countdown], None]] = {
    "while long texts are sent": _while_long_texts_are_sent,
    "after long texts are sent, before their transaction": _before_the_transaction_of_sent_texts,
    "in the transaction of long texts that were sent": _before_the_commit_of_sent_texts,
    "before the commit in Postgres": _before_the_commit_in_postgres,
    "after the commit in Postgres": _after_the_commit_in_postgres,
    "after long texts are in the database, before the commit": _among_long_texts_of_the_database,
}
"""Instants of long texts that are in a bucket or in the database."""

FAILPOINTS: dict[str, Callable[[_Countdown], None]] = {
    "before the commit": _before_the_commit,
    "after the commit": _after_the_commit,
    "in the middle of a batch": _in_the_middle_of_a_batch,
    "after the commit, before acknowledging": _before_acknowledging,
    "while a blob is written": _while_a_blob_is_written,
    "before a blob has its name": _before_a_blob_has_its_name,
    "after a blob has its name": _after_a_blob_has_its_name,
}


def install(name: str, nth: int) -> None:
    """Have this process killed when it gets to the failpoint for the n-th time."""
    {**FAILPOINTS, **OF_BATCHES, **OF_BLOBS}[name](_Countdown(nth))
