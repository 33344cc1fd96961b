"""What the writer must know of the schema: its version, and how wide its tables are.

Apart from `schema` so that SQLAlchemy, which defines the tables, is imported by no run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["PROJECTIONS", "SCHEMA_VERSION", "TRUTH", "WIDTHS", "insert_sql"]

SCHEMA_VERSION: Final = 10
"""Raised when a table, a view or what the log says changes; a store keeps the one it was made with."""

WIDTHS: Final = {
    "events": 9,
    "chains": 5,
    "payloads": 6,
    "runs": 2,
    "executions": 8,
    "arms": 6,
    "batches": 12,
    "scorers": 4,
    "settings": 3,
    "slices": 4,
    "items": 8,
    "generations": 24,
    "trials": 13,
    "scores": 12,
    "score_links": 6,
}
"""Table to number of columns."""
TRUTH: Final = ("events", "chains", "payloads")
"""What can't be made again: the log, and the texts that it refers to."""
PROJECTIONS: Final = tuple(name for name in WIDTHS if name not in TRUTH)
"""What `rebuild` makes again from the log."""


@lru_cache
def insert_sql(table: str) -> str:
    """The statement that inserts whole rows, their values in the order of the columns in `schema`."""
    return f"INSERT INTO {table} VALUES ({', '.join('?' * WIDTHS[table])})"
