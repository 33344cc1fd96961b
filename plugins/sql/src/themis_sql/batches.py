"""Batches that runs have at their providers, in the table `batches`: few rows, each written at once.

It is one of the projections, and like all of them it is made of facts alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from themis_core import BatchEnded, BatchIntended, BatchRecord, BatchSubmitted, Ticket
from themis_sql.codec import from_json, json_text, pack_name, unpack_name
from themis_sql.database import Database
from themis_sql.facts import Fact, keys_from
from themis_sql.layout import insert_sql
from themis_sql.names import Names
from themis_sql.payloads import Payloads

__all__ = ["Batches", "open_batches"]

_OPEN: Final = (
    "SELECT r.run_id, b.intended_at, b.nonce, b.endpoint, b.model_id, b.keys, b.ticket FROM batches b"
    " JOIN runs r ON r.id = b.run WHERE b.ended_at IS NULL ORDER BY b.id"
)
_UNTOLD: Final = {BatchSubmitted.kind: "submitted_at", BatchEnded.kind: "ended_at"}
"""Kind of event to the column that is NULL until it comes."""


class Batches:
    """What events of batches change, within the writer's transaction."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    def changes(self, event: BatchIntended | BatchSubmitted | BatchEnded) -> bool:
        """Whether it says anything new: a batch is intended, submitted and ended once, the last two if intended."""
        nonce = (pack_name(event.nonce),)
        if isinstance(event, BatchIntended):
            return self._database.row("SELECT 1 FROM batches WHERE nonce = ?", nonce) is None
        column = _UNTOLD[event.kind]
        return self._database.row(f"SELECT 1 FROM batches WHERE nonce = ? AND {column} IS NULL", nonce) is not None

    def add(self, fact: Fact) -> None:
        """Take what changes something."""
        nonce, at = pack_name(fact["nonce"]), fact["at"]
        if fact["kind"] == BatchIntended.kind:
            number = self._database.row("SELECT coalesce(max(id), 0) + 1 FROM batches")[0]
            names = (pack_name(fact["endpoint"]), pack_name(fact["model_id"]))
            run = self._names.number("runs", fact["run_id"])
            row = (number, nonce, run, at, *names, fact["requests"], fact["keys"])
            self._database.run(insert_sql("batches"), (*row, None, None, None, None))
        elif fact["kind"] == BatchSubmitted.kind:
            told: tuple[Any, ...] = (json_text(fact["ticket"]), at, nonce)
            self._database.run("UPDATE batches SET ticket = ?, submitted_at = ? WHERE nonce = ?", told)
        else:
            told = (pack_name(fact["outcome"]), at, nonce)
            self._database.run("UPDATE batches SET outcome = ?, ended_at = ? WHERE nonce = ?", told)


def open_batches(database: Database, payloads: Payloads) -> list[BatchRecord]:
    """As `Store.open_batches`."""
    rows = list(database.rows(_OPEN))
    texts = payloads.texts(row[5] for row in rows) if rows else {}
    return [_record(row, texts[row[5]]) for row in rows]


def _record(row: Iterable[Any], keys: str) -> BatchRecord:
    run_id, at, nonce, endpoint, model_id, _, ticket = row
    return BatchRecord(
        unpack_name(run_id),
        at,
        unpack_name(nonce),
        unpack_name(endpoint),
        unpack_name(model_id),
        keys_from(keys),
        None if ticket is None else Ticket(**from_json(ticket)),
    )
