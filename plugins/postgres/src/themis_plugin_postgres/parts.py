"""Parts of runs that are handed out to workers: one row each, leased by the token of a worker's lock.

A lease has no time of its own: it counts as long as the lock whose token it has does, by the server's clock. So what a
killed worker had is free when its lock has run out, and who lost its lock has lost its parts with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from themis_core import PartsRecord, StorageError
from themis_plugin_postgres.faults import PostgresFault
from themis_plugin_postgres.locks import NO_TABLE, RunLease, RunLocks, number_of, run_key

__all__ = ["CREATE_PARTS", "RunParts"]

CREATE_PARTS: Final = """CREATE TABLE IF NOT EXISTS run_parts (
  key bytea NOT NULL, number integer NOT NULL, token bytea, finished boolean NOT NULL, opened timestamptz NOT NULL,
  PRIMARY KEY (key, number))"""

_LIVES: Final = """EXISTS (SELECT 1 FROM run_holders h
  WHERE h.key = p.key AND h.token = p.token AND h.expires > clock_timestamp())"""
# A round is over when its parts are finished and nobody is at work who was when it was opened: of those who are late
# for it, none begins it anew. It is over as well when nobody but the caller is at work: what it left is looked at anew.
_CLEAR: Final = """DELETE FROM run_parts WHERE key = %s
AND ((SELECT count(*) FROM run_holders h WHERE h.key = %s AND h.expires > clock_timestamp()) < 2
  OR NOT EXISTS (SELECT 1 FROM run_parts o WHERE o.key = %s AND NOT o.finished)
  AND NOT EXISTS (SELECT 1 FROM run_parts o JOIN run_holders h ON h.key = o.key
    WHERE o.key = %s AND h.expires > clock_timestamp() AND h.since <= o.opened))"""
_OPEN: Final = """INSERT INTO run_parts SELECT %s, each, NULL, false, clock_timestamp() FROM generate_series(1, %s) each
WHERE NOT EXISTS (SELECT 1 FROM run_parts WHERE key = %s)"""
_COUNT: Final = "SELECT count(*)::int FROM run_parts WHERE key = %s"
_TAKE: Final = f"""UPDATE run_parts SET token = %s FROM (
  SELECT number FROM run_parts p WHERE key = %s AND NOT finished AND NOT {_LIVES}
  AND EXISTS (SELECT 1 FROM run_holders WHERE key = %s AND part = %s AND token = %s)
  ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED) free
WHERE run_parts.key = %s AND run_parts.number = free.number RETURNING run_parts.number"""
_HOLDS: Final = "SELECT 1 FROM run_holders WHERE key = %s AND part = %s AND token = %s"
_FINISH: Final = """UPDATE run_parts SET finished = true, token = NULL
WHERE key = %s AND number = ANY(%s) AND token = %s RETURNING number"""
_GIVE_BACK: Final = """UPDATE run_parts SET token = NULL
WHERE key = %s AND token = %s AND NOT finished RETURNING number"""
_HOW_FAR: Final = f"""SELECT count(*)::int, (count(*) FILTER (WHERE finished))::int,
(count(*) FILTER (WHERE NOT finished AND {_LIVES}))::int FROM run_parts p WHERE key = %s"""

Fetch = Callable[[str, Sequence[Any]], list[Any]]
"""Runs a statement by itself, on a new connection if one was lost, and returns its rows."""


class RunParts:
    """The parts of the runs of one store. `alone` runs statements in one transaction, and no other process that does
    the same for the run meanwhile; `make` makes the table."""

    def __init__(
        self,
        fetch: Fetch,
        alone: Callable[[int, Sequence[tuple[str, Sequence[Any]]]], list[Any]],
        make: Callable[[str], None],
        locks: RunLocks,
    ) -> None:
        self._fetch = fetch
        self._alone = alone
        self._make = make
        self._locks = locks

    def open(self, run_id: str, of: int) -> int:
        """As `Store.open_parts`."""
        if of < 1:
            raise StorageError(f"a run has one part at least, not {of}")
        key = run_key(run_id)
        statements = [(_CLEAR, (key,) * 4), (_OPEN, (key, of, key)), (_COUNT, (key,))]
        number = number_of(b"parts " + key)
        try:
            found = self._alone(number, statements)
        except PostgresFault as error:
            if error.state != NO_TABLE:
                raise
            self._make(CREATE_PARTS)
            found = self._alone(number, statements)
        return int(found[0][0])

    def take(self, run_id: str, part: str, most: int) -> list[int]:
        """As `Store.take_parts`."""
        lease = self._lease(run_id, part)
        values = (lease.token, lease.key, *lease.mine, most, lease.key)
        # Alone, for this must see who leased a part the moment before, and that one's lock.
        rows = self._alone(number_of(b"parts " + lease.key), [(_TAKE, values)]) if most > 0 else []
        if not rows and not self._fetch(_HOLDS, lease.mine):
            raise self._locks.lost(lease)
        return sorted(number for (number,) in rows)

    def finish(self, run_id: str, part: str, numbers: Sequence[int]) -> None:
        """As `Store.finish_parts`."""
        lease = self._lease(run_id, part)
        self._fetch(_FINISH, (lease.key, list(numbers), lease.token))

    def give_back(self, run_id: str, part: str) -> None:
        """As `Store.give_back_parts`."""
        lease = self._lease(run_id, part)
        self._fetch(_GIVE_BACK, (lease.key, lease.token))

    def how_far(self, run_id: str) -> PartsRecord:
        """As `Store.parts`."""
        try:
            return PartsRecord(*self._fetch(_HOW_FAR, (run_key(run_id),))[0])
        except PostgresFault as error:
            if error.state == NO_TABLE:  # nobody has opened any
                return PartsRecord(0, 0, 0)
            raise

    def _lease(self, run_id: str, part: str) -> RunLease:
        if (lease := self._locks.lease_of(run_id, part)) is None:
            raise StorageError(
                f"{part or 'the whole'} of run {run_id!r} is not held here: lock it before it takes parts"
            )
        return lease
