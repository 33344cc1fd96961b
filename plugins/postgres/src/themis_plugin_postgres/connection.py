"""One connection to the server: set up, used, and its errors made safe to show.

It knows no table. Errors of the driver quote rows, keys and parameters; what leaves this module does not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import capabilities, sql

from themis_plugin_postgres.address import masked

if TYPE_CHECKING:
    from themis_plugin_postgres.backend import PostgresBlobStorageSpec

__all__ = ["PostgresConnection", "PostgresFault"]

_STREAMED: Final = 100
"""Rows of a stream that are in memory at once."""
_REPEATABLE: Final = ("40001", "40P01", "53300", "57P")
"""States after which the same may succeed: conflicts, no free connection, a server that ends or starts."""


class PostgresFault(Exception):
    """An error of the server or of the connection to it, as it may be shown and logged."""

    def __init__(self, message: str, state: str = "", *, lost: bool = False) -> None:
        super().__init__(message)
        self.state = state
        """SQLSTATE, five characters; empty if the server did not answer."""
        self.lost = lost
        """Whether the same may succeed on a new connection."""


class PostgresConnection:
    """A connection in autocommit mode. Raises PostgresFault only."""

    def __init__(self, url: str, spec: PostgresBlobStorageSpec, **settings: str) -> None:
        """Connect. `settings` are the server's, by name; `search_path` is the store's schema."""
        self._url = url
        self._numbers = itertools.count()
        with self._errors(connecting=True):
            self._raw = psycopg.connect(
                url,
                autocommit=True,
                application_name="themis",
                client_encoding="utf8",
                connect_timeout=max(2, round(spec.connect_timeout_s)),  # less than 2 s is not granted
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
                tcp_user_timeout=60_000,  # milliseconds; a network that drops everything is noticed then
            )
        settings = {
            "search_path": f'"{spec.schema_name}"',
            # Plans are made for the tables as they are: one made while they were empty would scan them for ever.
            "plan_cache_mode": "force_custom_plan",
            "client_min_messages": "warning",
            **settings,
        }
        try:
            self.run(
                "SELECT " + ", ".join(["set_config(%s, %s, false)"] * len(settings)),
                tuple(part for setting in settings.items() for part in setting),
            )
        except BaseException:
            self._raw.close()
            raise

    @property
    def closed(self) -> bool:
        return self._raw.closed

    def close(self) -> None:
        self._raw.close()

    def run(self, text: str, values: Sequence[Any] = ()) -> str:
        """Run a statement (without values: or several), and return the server's word for the last one."""
        with self._errors():
            cursor = self._raw.execute(text.encode(), values or None)
            while cursor.nextset():
                pass
            return cursor.statusmessage or ""

    def fetch(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query (without values: of the last one of several)."""
        with self._errors():
            cursor = self._raw.execute(text.encode(), values or None, binary=bool(values))
            while cursor.nextset():
                pass
            return cursor.fetchall()

    def stream(self, text: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Fetch rows as they are asked for; the connection is taken until the last one, or until this is closed."""
        size = _STREAMED if capabilities.has_stream_chunked() else 1
        with self._errors(), self._raw.cursor() as cursor:
            yield from cursor.stream(text.encode(), values or None, binary=True, size=size)

    def stream_beside(self, text: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Fetch rows as they are asked for, within a transaction that may run other statements meanwhile."""
        name = f"rows_{next(self._numbers)}"
        with self._errors(), self._raw.cursor(name) as cursor:
            cursor.itersize = _STREAMED
            cursor.execute(text.encode(), values or None, binary=True)
            yield from cursor

    def run_many(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of the rows, sending all before the first reply is awaited."""
        with self._errors(), self._raw.cursor() as cursor:
            cursor.executemany(text.encode(), rows)

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add whole rows by one statement."""
        row = f"({', '.join(['%s'] * len(rows[0]))})"
        self.run(f"INSERT INTO {table} VALUES {', '.join([row] * len(rows))}", [value for row in rows for value in row])

    def copy(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add whole rows, and many of them, fast."""
        statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
        with self._errors(), self._raw.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    @contextmanager
    def _errors(self, *, connecting: bool = False) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            state = error.sqlstate or ""
            lost = state.startswith(_REPEATABLE) or (not state and isinstance(error, psycopg.OperationalError))
            if not connecting:
                lost = lost or self._raw.closed
            # Without its context: a traceback would show what the driver's message quotes.
            raise PostgresFault(masked(_message(error), self._url), state, lost=lost) from None


def _message(error: psycopg.Error) -> str:
    """Return the message without detail, context and values."""
    if isinstance(error, psycopg.DataError):
        return f"{type(error).__name__}: the server refuses a value"
    if isinstance(error, psycopg.ProgrammingError) and not error.sqlstate:
        return "psycopg can't use the URL, or the statement"
    return error.diag.message_primary or " ".join(str(error).split())
