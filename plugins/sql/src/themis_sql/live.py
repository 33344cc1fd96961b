"""What processes at work on one store tell each other of now, such as how much each may ask of an endpoint.

It is neither part of the log nor of what is made from it: who loses it loses no result. So the table is made with its
first use, and its commits are not waited for until they are on the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from themis_core import LiveChange, StorageError
from themis_sql.codec import from_json, json_ascii
from themis_sql.database import CommitUnknown, Database

__all__ = ["LIVE_STATES", "LiveStates"]

LIVE_STATES: Final = "live_states"
_MAKE: Final = f"CREATE TABLE IF NOT EXISTS {LIVE_STATES} (name TEXT PRIMARY KEY, state TEXT NOT NULL, at FLOAT8)"
_FIND: Final = f"SELECT name, state FROM {LIVE_STATES} WHERE name IN (*) ORDER BY name"
_ADD: Final = f"INSERT INTO {LIVE_STATES} (name, state) VALUES (?, 'null') ON CONFLICT (name) DO NOTHING"
_SET: Final = f"UPDATE {LIVE_STATES} SET state = ?, at = ? WHERE name = ?"
_CLEAR: Final = f"DELETE FROM {LIVE_STATES} WHERE at < ?"
_KEPT_S: Final = 30 * 86_400.0
"""Seconds after which a state that nobody changed says nothing about now."""


class LiveStates:
    """The live states in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made = False

    def exchange(self, changes: Mapping[str, LiveChange]) -> dict[str, Any]:
        """As `Store.exchange`."""
        database = self._database
        try:
            with database.errors():
                if not self._made:
                    self._make()
                with database.brief():
                    return self._exchange(changes)
        except CommitUnknown as error:
            raise StorageError(database.explain(error.error)) from error.error

    def _make(self) -> None:
        # Alone: of two that make a table in Postgres at once, both find it missing, and the second one fails.
        self._database.settle(lambda: self._database.run(_MAKE), alone=True)
        with self._database.brief():
            self._database.run(_CLEAR, (self._database.clock() - _KEPT_S,))
        self._made = True

    def _exchange(self, changes: Mapping[str, LiveChange]) -> dict[str, Any]:
        names = {_key(name): name for name in changes}
        if len(found := self._find(names)) < len(names):
            # A row that is not there can't be kept for this transaction alone.
            self._database.write(_ADD, [(key,) for key in sorted(names.keys() - found.keys())])
            found = self._find(names)
        now = self._database.clock()  # after the wait for others
        answers, rows = {}, []
        for key, name in sorted(names.items()):
            state, answers[name] = changes[name](from_json(found[key]), now)
            rows.append((json_ascii(state), now, key))
        self._database.write(_SET, rows)
        return answers

    def _find(self, names: Mapping[str, str]) -> dict[str, str]:
        # In the order of names, in which all take them: so nobody waits for another in a ring.
        return dict(self._database.rows_in(_FIND + self._database.for_update, sorted(names)))


def _key(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
