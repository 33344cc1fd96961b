"""The file of a store as it is made: its tables and views, and how it appears whole or not at all.

It reads and writes no rows.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

from themis_blobs.folders import sync_folder
from themis_core import Damage, StorageError
from themis_plugin_sqlite.lookups import LOOKUP_TABLES
from themis_sql import SCHEMA_VERSION
from themis_sql.definitions import added
from themis_sql.definitions import differing as definitions_differing
from themis_sql.layout import PROJECTIONS, TRUTH
from themis_sql.statements import Statements

__all__ = [
    "APPLICATION_ID",
    "DERIVED",
    "SCHEMA_FILE",
    "differing",
    "make_file",
    "part_files",
    "statements",
]

APPLICATION_ID: Final = 0x54686D73  # "Thms"
DERIVED: Final = (*PROJECTIONS, *LOOKUP_TABLES)
"""The tables that are made again from the log and its texts."""
SCHEMA_FILE: Final = Path(__file__).with_name("schema.sql")
"""Made from `themis_sql.schema` by `generating`."""


def make_file(path: Path) -> None:
    """Make a new store, under another name first: whoever finds the file finds all of it, a kill leaves none."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise StorageError(
            f"{log} is there without its database, whose last changes it holds: bring {path.name} back, or move it away"
        )
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("BEGIN EXCLUSIVE")
            for statement in _all_statements():
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        _name(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def part_files(folder: Path, name: str) -> Iterator[Path]:
    """Yield what a kill left of the making of a store."""
    yield from sorted(folder.glob(f".{name}.*.part"))


def _name(part: Path, path: Path) -> None:
    """Give the file its name, unless another process has made the store meanwhile."""
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            part.rename(path)


@cache
def statements() -> Statements:
    """What makes the tables, indices and views of this version."""
    return Statements(SCHEMA_FILE)


def _all_statements() -> Iterator[str]:
    yield from statements().of_tables((*TRUTH, *DERIVED))
    yield from statements().views().values()


def definitions(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str | None]]:
    """Return all that a database defines, by name: its type, its table and its statement."""
    rows = connection.execute("SELECT name, type, tbl_name, sql FROM main.sqlite_master")
    # Spaces tell nothing: earlier versions laid out the same statements in other ways.
    return {name: (kind, table, sql and " ".join(sql.split())) for name, kind, table, sql in rows}


def expected() -> dict[str, tuple[str, str, str | None]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in _all_statements():
            connection.execute(statement)
        return definitions(connection)


def differing(connection: sqlite3.Connection) -> Iterator[tuple[str, Damage]]:
    """Yield what is not defined as Themis defines it, by its name. Tables, views and indices of others are left alone.

    A trigger is never Themis's: it changes what is written.
    """
    found = definitions(connection)
    yield from definitions_differing(expected(), found)
    for name, (kind, table, _) in found.items():
        if kind == "trigger":
            yield name, added(kind, name, table)
