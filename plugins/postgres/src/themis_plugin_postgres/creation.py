"""How a schema becomes a store, and how a store is recognised: a table with its version and its id.

It changes nothing in a schema that is no store, or a newer one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from themis_core import StorageError, StoreMissing, StoreOutdated
from themis_plugin_postgres.connection import PostgresConnection
from themis_plugin_postgres.locks import CREATE_LOCKS
from themis_plugin_postgres.parts import CREATE_PARTS
from themis_sql import SCHEMA_VERSION
from themis_sql.layout import PROJECTIONS, TRUTH
from themis_sql.statements import Statements

__all__ = ["SCHEMA_FILE", "SEQUENCE", "StoreInfo", "make_tables", "prepare", "remake_projections", "statements"]

SCHEMA_FILE: Final = Path(__file__).with_name("schema.sql")
"""Made from `themis_sql.schema` by `generating`."""

_STATE = """SELECT to_regclass(quote_ident(%s) || '.store_info') IS NOT NULL,
  (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))),
  current_setting('server_encoding')"""

SEQUENCE: Final = "event_numbers"
"""Hands out the numbers of the log's rows: increasing, and with gaps where transactions were rolled back."""
_BEHIND: Final = f"""SELECT to_regclass('{SEQUENCE}') IS NULL OR
  coalesce((SELECT max(seq) FROM events), 0) > coalesce(pg_sequence_last_value(to_regclass('{SEQUENCE}')), 0)"""

_OWN: Final = ("blobs", "store_info", "run_holders", "run_parts")


class StoreInfo(NamedTuple):
    version: int
    """Of the schema."""
    store_id: str
    """Names the folder of its blob files, which other stores may lie beside."""


def prepare(connection: PostgresConnection, location: str, schema: str, *, make: bool) -> StoreInfo:
    """Return what the schema says of its store; with `make`, make an empty schema one.

    Raises StorageError if it holds something else, a newer store, or nothing; without `make`, also an older one.
    """
    if not _is_store(connection, location, schema):
        if not make:
            raise StoreMissing(f"there is no store at {location}: run something first, or name another schema_name")
        # One transaction, so a kill leaves all or nothing; and one process at a time.
        connection.run("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            connection.fetch("SELECT pg_advisory_xact_lock(%s)", (_lock_of(schema),))
            if not _is_store(connection, location, schema):  # or another process was first
                _create(connection, schema)
            connection.run("COMMIT")
        except BaseException:
            connection.close()  # which rolls back
            raise
    info = _checked(connection.fetch("SELECT version, store_id FROM store_info"), location, may_be_older=make)
    if make:
        _keep_sequence(connection)
    return info


def _lock_of(schema: str) -> int:
    """Return the number of the lock that keeps two processes from making one store."""
    digest = hashlib.sha256(f"themis store {schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _keep_sequence(connection: PostgresConnection) -> None:
    """Have the sequence go on above what is in the log, also where the tables alone were brought back."""
    if not connection.fetch(_BEHIND)[0][0]:
        return
    connection.run("BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE")
    try:
        connection.run(f"CREATE SEQUENCE IF NOT EXISTS {SEQUENCE}")
        if connection.fetch(_BEHIND)[0][0]:
            connection.run(f"SELECT setval('{SEQUENCE}', seq + count) FROM events ORDER BY seq DESC LIMIT 1")
        connection.run("COMMIT")
    except BaseException:
        connection.close()  # which rolls back
        raise


def _is_store(connection: PostgresConnection, location: str, schema: str) -> bool:
    """Whether a store is there. Raises StorageError if something else is, or none can be made."""
    [(is_store, things, encoding)] = connection.fetch(_STATE, (schema,) * 2)
    if encoding != "UTF8":
        raise StorageError(
            f"the database of {location} has the encoding {encoding}, which can't hold every text: make one with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    if things and not is_store:
        raise StorageError(f"{location} is not a store of Themis: name another schema_name, or an empty schema")
    return bool(is_store)


def _checked(found: list[tuple[int, str]], location: str, *, may_be_older: bool) -> StoreInfo:
    if len(found) != 1:
        raise StorageError(f"{location} is not a store of Themis: name another schema_name, or an empty schema")
    info = StoreInfo(*found[0])
    if info.version > SCHEMA_VERSION:
        raise StorageError(
            f"{location} was made by a newer Themis (schema {info.version}, this one knows {SCHEMA_VERSION}): "
            "update themis-plugin-postgres, or name another schema_name"
        )
    if info.version < SCHEMA_VERSION and not may_be_older:
        raise StoreOutdated(
            f"{location} was made by an older Themis (schema {info.version}, this one has {SCHEMA_VERSION}): "
            "bring it up to date with `themis storage migrate`"
        )
    return info


def _create(connection: PostgresConnection, schema: str) -> None:
    [(exists,)] = connection.fetch("SELECT to_regnamespace(quote_ident(%s)) IS NOT NULL", (schema,))
    if not exists:  # IF NOT EXISTS would ask for the right to create one even then
        connection.run(f'CREATE SCHEMA "{schema}"')
    connection.run("CREATE TABLE store_info (version integer NOT NULL, store_id text NOT NULL)")
    connection.run(CREATE_LOCKS)
    connection.run(CREATE_PARTS)
    make_tables(connection, (*TRUTH, *PROJECTIONS))
    connection.run(f"CREATE SEQUENCE {SEQUENCE}")
    connection.run(";\n".join(statements().views().values()))
    connection.run("INSERT INTO store_info VALUES (%s, %s)", (SCHEMA_VERSION, secrets.token_hex(8)))


def remake_projections(connection: PostgresConnection) -> None:
    """Drop all views and all tables but the log, the texts and Postgres's own; make those of this version, empty."""
    for kind, name in connection.fetch(
        "SELECT relkind = 'v', relname FROM pg_class WHERE relkind IN ('r', 'v')"
        " AND relnamespace = quote_ident(current_schema())::regnamespace ORDER BY 1 DESC, 2"
    ):
        if kind or name not in (*TRUTH, *_OWN):
            connection.run(f'DROP {"VIEW" if kind else "TABLE"} IF EXISTS "{name}" CASCADE')
    make_tables(connection, PROJECTIONS)
    connection.run(";\n".join(statements().views().values()))


def make_tables(connection: PostgresConnection, names: Collection[str]) -> None:
    """Make these tables, with their indices, as they are in this version."""
    connection.run(";\n".join(statements().of_tables(names)))


@cache
def statements() -> Statements:
    """What makes the tables, indices and views of this version."""
    return Statements(SCHEMA_FILE)
