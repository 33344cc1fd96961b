"""Names that many rows share, and the small numbers that stand for them.

Only the writer uses it; readers join the tables.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from themis_sql.codec import json_ascii, json_text, pack_name
from themis_sql.database import Database

__all__ = ["Names", "salt_of"]

_KEPT = 10_000


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
        self._ids: dict[tuple[str | None, ...], int] = {}
        self._new: dict[tuple[str | None, ...], int] = {}
        self._params: tuple[dict[str, Any], str] = ({}, "{}")

    def forget(self) -> None:
        self._ids.clear()
        self._new.clear()

    def drop(self) -> None:
        """Forget what was found or made since the last `keep`."""
        self._new.clear()

    def keep(self) -> None:
        """Remember what was found or made."""
        if len(self._ids) + len(self._new) > _KEPT:
            self._ids.clear()
        self._ids.update(self._new)
        self._new.clear()

    def _known(self, key: tuple[str | None, ...]) -> int | None:
        return self._ids.get(key) or self._new.get(key)

    def run(self, run_id: str) -> int:
        number = self._known(("runs", run_id))
        if number is None:
            number = self._id("runs", ("runs", run_id), {"run_id": pack_name(run_id)})
        return number

    def arm(self, run_id: str, slice_id: str, model_id: str, prompt_variant_id: str, params: str) -> int:
        key = ("arms", run_id, slice_id, model_id, prompt_variant_id, params)
        number = self._known(key)
        if number is None:
            names = {
                "slice_id": slice_id,
                "model_id": model_id,
                "prompt_variant_id": prompt_variant_id,
                "params": params,
            }
            packed = {column: pack_name(name) for column, name in names.items()}
            number = self._id("arms", key, {"run": self.run(run_id), **packed})
        return number

    def set_dimensions(self, run_id: str, slice_id: str, dimensions: str) -> None:
        """Note the dimensions of a slice, as JSON; those that a later execution has replace them."""
        run, name = self.run(run_id), pack_name(slice_id)
        row = self._database.row("SELECT id, dimensions FROM slices WHERE run = ? AND slice_id = ?", (run, name))
        if row is not None:
            if row[1] != dimensions:
                self._database.run("UPDATE slices SET dimensions = ? WHERE id = ?", (dimensions, row[0]))
            return
        number = self._database.row("SELECT coalesce(max(id), 0) + 1 FROM slices")[0]
        self._database.run("INSERT INTO slices VALUES (?, ?, ?, ?)", (number, run, name, dimensions))

    def scorer(self, score: str, metric: str, parse: str | None) -> int:
        key = ("scorers", score, metric, parse)
        number = self._known(key)
        if number is None:
            values = {"score": pack_name(score), "metric": pack_name(metric)}
            number = self._id("scorers", key, {**values, "parse": None if parse is None else pack_name(parse)})
        return number

    def settings(self, model_id: str, params: dict[str, Any]) -> int:
        if params != self._params[0]:  # they are hardly ever new, and JSON takes time
            self._params = (params, json_text(params))
        text = self._params[1]
        key = ("settings", model_id, text)
        number = self._known(key)
        if number is None:
            number = self._id("settings", key, {"model_id": pack_name(model_id), "params": text})
        return number

    def _id(self, table: str, key: tuple[Any, ...], values: dict[str, Any]) -> int:
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
        self._new[key] = row[0]
        return int(row[0])
