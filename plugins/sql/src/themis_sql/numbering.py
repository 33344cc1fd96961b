"""The numbers of a batch's rows: of its row in the log, and the first ids of what it adds to the large tables.

Where one transaction writes at a time, they go on from what is stored. Where several do, the database hands out the
number in the log, and ids are made from it: so no two writers give one id twice, and a replay gives the same again.
"""

from __future__ import annotations

from typing import Final

from themis_core import StorageError
from themis_sql.database import Database

__all__ = ["first_ids", "first_number", "next_seq", "within_ids"]

_NUMBERED: Final = ("payloads", "items", "generations", "trials", "scores")
_ROOM: Final = 1_000_000
"""Ids that a batch has for the rows that it adds to one table, where ids are made from its number in the log."""
_MAX_IDS: Final = "SELECT " + ", ".join(f"(SELECT coalesce(max(id), 0) + 1 FROM {table})" for table in _NUMBERED)
_NEXT: Final = "SELECT seq + count FROM events ORDER BY seq DESC LIMIT 1"


def next_seq(database: Database) -> int:
    """Return the number of the log's next row: above those of all rows that the transaction can see."""
    if database.several_writers:
        return database.take_seq()
    row = database.row(_NEXT)
    return 1 if row is None else int(row[0])


def first_ids(database: Database, seq: int) -> dict[str, int]:
    """Return, by table, the first id of what the batch with this number in the log adds."""
    if database.several_writers:
        return dict.fromkeys(_NUMBERED, first_number(database, seq))
    return dict(zip(_NUMBERED, database.row(_MAX_IDS), strict=True))


def first_number(database: Database, seq: int) -> int:
    """Return the number of the first event of a row of the log: later events have higher ones."""
    return seq * _ROOM if database.several_writers else seq


def within_ids(count: int) -> None:
    """Raise StorageError if a batch adds more rows to one table than there are ids for it."""
    if count > _ROOM:
        raise StorageError(f"one batch adds {count:,} rows to one table: append fewer events at once")
