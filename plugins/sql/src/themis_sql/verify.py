"""Whether a store still holds what was put into it: the log, the texts with their hashes, the projections.

It changes nothing. All of it streams, so memory does not grow with the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from typing import Any

from themis_blobs import Blobs, BlobUnreachable
from themis_core import Damage, StorageError
from themis_sql.codec import lookup_of, to_bytes
from themis_sql.database import Database
from themis_sql.layout import PROJECTIONS
from themis_sql.log import UNREADABLE, LogCheck
from themis_sql.payloads import displayed
from themis_sql.store import replay

__all__ = ["CouldNotCheck", "damages"]


class CouldNotCheck(StorageError):
    """The check can't be made: that says nothing of what is stored."""


_PAGE = 200
"""Rows, with texts of up to 64 KiB, that are in memory at once."""
_SHOWN = 100
"""Differing rows of one table that are listed; after a lost table, all of them would help nobody."""


def damages(scratch: Database, blobs: Blobs, stored: str, *, without: Container[str] = ()) -> Iterator[Damage]:
    """Yield all that is wrong in a store; what its database says of itself is left to the caller.

    `scratch` is a connection that sees the store as of one moment, in which the tables of `layout.PROJECTIONS` are
    empty temporary ones; `stored` gives the name of a stored table, such as `main.{}`. Tables `without` are known to be
    missing or otherwise than Themis defines them. Raises StorageError if a blob can't be read for a reason that
    tells nothing of what it holds, such as a right that is lacking.
    """
    check = LogCheck(scratch)
    sound = True
    for each in check.damages():
        sound = False
        yield each
    yield from _damaged_payloads(scratch, blobs)
    if not sound:
        yield Damage("projections", "they were not compared with the log, which is damaged itself")
        return
    try:
        replay(scratch)
    except UNREADABLE as error:
        yield Damage("events", f"the log can't be replayed ({type(error).__name__})")
        return
    yield from _differing_projections(scratch, stored, without)


def _damaged_payloads(database: Database, blobs: Blobs) -> Iterator[Damage]:
    """Yield texts, in the database and in blob files, that are not those whose hashes were stored."""
    for number, *row in _pages(database, "id, lookup, digest, text, raw, external", "payloads", ("id",)):
        problem = _problem_of_text(blobs, *row)
        if problem is not None:
            yield Damage(f"payloads {number}", problem)


def _problem_of_text(blobs: Blobs, lookup: Any, digest: Any, text: Any, raw: Any, external: Any) -> str | None:
    if external not in (0, 1):
        return "it is neither in the table nor in a file"
    try:
        digest = bytes(digest)
        data = blobs.read(digest) if external else to_bytes(text) if raw is None else bytes(raw)
        shown = displayed(data.decode("utf-8", "surrogatepass"), external=bool(external))
    except BlobUnreachable as error:
        raise CouldNotCheck(f"could not check the store: {error}") from error
    except StorageError as error:
        return str(error)
    except UNREADABLE:
        return "the text does not decode"
    if hashlib.sha256(data).digest() != digest:
        return "the text does not match its hash"
    if lookup is not None and lookup != lookup_of(digest):
        return "it would not be found by its hash"
    return None if shown == text else "what SQL shows is not the text"


def _differing_projections(scratch: Database, stored: str, without: Container[str]) -> Iterator[Damage]:
    """Yield the rows that are not as the log gave them when it was replayed into `scratch`."""
    for table in PROJECTIONS:
        if table in without:
            continue
        for count, (number, problem) in enumerate(_differences(scratch, stored.format(table), table)):
            if count == _SHOWN:
                yield Damage(table, f"more than {_SHOWN} rows differ from the log: the rest is not listed")
                break
            yield Damage(f"{table} {number}", f"{problem}; `themis storage rebuild` makes it again")


def _differences(database: Database, stored: str, replayed: str) -> Iterator[tuple[str, str]]:
    there, wanted = _rows(database, stored, replayed), _rows(database, replayed, replayed)
    row, other = next(there, None), next(wanted, None)
    while row is not None or other is not None:
        if other is None or (row is not None and row[0] < other[0]):
            assert row is not None
            yield _number(row[0]), "the row is not in the log"
            row = next(there, None)
        elif row is None or row[0] > other[0]:
            yield _number(other[0]), "the row is missing"
            other = next(wanted, None)
        else:
            if repr(row[1]) != repr(other[1]):  # 0 is not 0.0 or -0.0 here
                yield _number(row[0]), "the row is not as the log gives it"
            row, other = next(there, None), next(wanted, None)


def _rows(database: Database, name: str, table: str) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """Yield primary key and row in the order of the keys."""
    keys = ("trial", "position") if table == "score_links" else ("id",)
    for row in _pages(database, "*", name, keys):
        yield tuple(row[: len(keys)]), tuple(row)


def _pages(database: Database, columns: str, table: str, keys: tuple[str, ...]) -> Iterator[Any]:
    """Yield all rows, the keys first, by pages: in a transaction, some drivers hold all rows of a query in memory."""
    order = ", ".join(keys)
    sql = (
        f"SELECT {columns} FROM {table} WHERE ({order}) > ({', '.join('?' * len(keys))}) ORDER BY {order} LIMIT {_PAGE}"
    )
    last: tuple[int, ...] = (-1,) * len(keys)
    while page := list(database.rows(sql, last)):
        yield from page
        last = tuple(page[-1][: len(keys)])


def _number(key: tuple[int, ...]) -> str:
    return "/".join(map(str, key))
