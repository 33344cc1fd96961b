"""Names that many rows share, and the small numbers that stand for them.

Only the writer uses it; readers join the tables.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

from themis_sql.codec import json_ascii, json_text, pack_name
from themis_sql.database import Database

__all__ = ["Names", "salt_of"]

_KEPT = 10_000
_COLUMNS: Final = {
    "runs": ("run_id",),
    "arms": ("run", "slice_id", "model_id", "prompt_variant_id", "params"),
    "scorers": ("score", "metric", "parse"),
    "settings": ("model_id", "params"),
}
"""What a row of each table is found by."""


@lru_cache(maxsize=1024)
def salt_of(run_id: str, slice_id: str) -> int:
    """Return a number that spreads the lookup bits of one trial over the runs and slices that have it."""
    name = json_ascii([run_id, slice_id]).encode("ascii")
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") >> 1


class Names:
    """Finds or makes the number of a name, within the writer's transaction. `keep` after its commit, else `drop`.

    Numbers have no gaps, and a transaction sees what was stored at one moment: so of two that make the same name, the
    second one finds its number taken.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[tuple[str | int | None, ...], int] = {}
        self._new: list[tuple[str | int | None, ...]] = []
        self._params: tuple[dict[str, Any], str] = ({}, "{}")

    def forget(self) -> None:
        self._ids.clear()
        self._new.clear()

    def drop(self) -> None:
        """Forget what was found or made since the last `keep`."""
        for key in self._new:
            self._ids.pop(key, None)
        self._new.clear()

    def keep(self) -> None:
        """Remember what was found or made."""
        self._new.clear()
        if len(self._ids) > _KEPT:
            self._ids.clear()

    def number(self, table: str, *names: str | int | None) -> int:
        """Return the number of what has these names, in the order of `_COLUMNS`; a run in an arm is its number."""
        key = (table, *names)
        return self._ids.get(key) or self._find(key)

    def set_dimensions(self, run_id: str, slice_id: str, dimensions: str) -> None:
        """Note the dimensions of a slice, as JSON; those that a later execution has replace them."""
        run, name = self.number("runs", run_id), pack_name(slice_id)
        row = self._database.row("SELECT id, dimensions FROM slices WHERE run = ? AND slice_id = ?", (run, name))
        if row is not None:
            if row[1] != dimensions:
                self._database.run("UPDATE slices SET dimensions = ? WHERE id = ?", (dimensions, row[0]))
            return
        number = self._database.row("SELECT coalesce(max(id), 0) + 1 FROM slices")[0]
        self._database.run("INSERT INTO slices VALUES (?, ?, ?, ?)", (number, run, name, dimensions))

    def settings(self, model_id: str, params: dict[str, Any]) -> int:
        if params != self._params[0]:  # they are hardly ever new, and JSON takes time
            self._params = (params, json_text(params))
        return self.number("settings", model_id, self._params[1])

    def _find(self, key: tuple[Any, ...]) -> int:
        """Look the number up, or make it."""
        table, *names = key
        packed = [pack_name(each) if isinstance(each, str) else each for each in names]
        values = dict(zip(_COLUMNS[table], packed, strict=True))
        same = " AND ".join(
            f"{column} IS NULL" if value is None else f"{column} = ?" for column, value in values.items()
        )
        given = tuple(value for value in values.values() if value is not None)
        row = self._database.row(f"SELECT id FROM {table} WHERE {same}", given)
        if row is None:
            row = self._database.row(f"SELECT coalesce(max(id), 0) + 1 FROM {table}")
            columns = ", ".join(("id", *values))
            marks = ", ".join("?" * (1 + len(values)))
            self._database.run(f"INSERT INTO {table} ({columns}) VALUES ({marks})", (row[0], *values.values()))
        self._ids[key] = number = int(row[0])
        self._new.append(key)
        return number
