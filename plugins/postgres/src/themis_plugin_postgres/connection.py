"""One connection to the server: set up, used, and its errors made safe to show.

It knows no table. Errors of the driver quote rows, keys and parameters; what leaves this module does not.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, Literal

import psycopg
from psycopg import capabilities

from themis_plugin_postgres.address import masked
from themis_plugin_postgres.config import PostgresConfig
from themis_plugin_postgres.faults import PostgresFault, is_repeatable, state_at_connecting
from themis_plugin_postgres.settings import session_settings
from themis_plugin_postgres.silence import Watch

__all__ = ["PostgresConnection"]

_STREAMED: Final = 100
"""Rows of a stream that are in memory at once."""
_LOOKS: Final = 4
"""How often a pooler is looked through: one that hands out connections by turns shows it by the second time."""
_SHARED: Final = (
    "the connection goes through a pooler that hands it to several clients in turn (transaction or statement mode), so "
    "that what one sets another has"
)


class PostgresConnection:
    """A connection in autocommit mode. Raises PostgresFault only."""

    def __init__(self, url: str, spec: PostgresConfig, mode: Literal["write", "read"], **settings: str) -> None:
        """Connect. `settings` are the server's, by name, besides those of every session."""
        self._url = url
        self._spec = spec
        self._numbers = itertools.count()
        self.token = secrets.token_hex(8)
        """What the session knows itself by; another one has another."""
        with self._connecting():
            self._raw = self._connect()
        self._watch = Watch(self._raw, self._connect, spec.connect_timeout_s, spec.reconnect_timeout_s)
        try:
            self._set_up({**session_settings(spec, mode, self._raw.info.server_version), **settings})
        except BaseException:
            self.close()
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._url,
            autocommit=True,
            application_name="themis",
            client_encoding="utf8",
            connect_timeout=max(2, round(self._spec.connect_timeout_s)),  # less than 2 s is not granted
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=20_000,  # milliseconds
        )

    def _set_up(self, settings: dict[str, str]) -> None:
        # First the token alone, which harms nobody if the session turns out to be shared.
        [(backend,)] = self.fetch("SELECT pg_backend_pid() FROM set_config('themis.session', %s, false)", (self.token,))
        self._watch.start(backend)
        if backend != self._raw.info.backend_pid:  # a pooler answers in the server's place
            self._refuse_shared()
        values = [f"set_config('{name}', {_literal(value)}, false)" for name, value in settings.items()]
        self.run(f"SELECT {', '.join(values)}")

    def _refuse_shared(self) -> None:
        with self._connecting():
            other = self._connect()
        with self._errors(), closing(other):
            for _ in range(_LOOKS):
                row = other.execute("SELECT current_setting('themis.session', true)").fetchone()
                self.check_token(self.fetch("SELECT current_setting('themis.session', true)")[0][0])
                if row == (self.token,):
                    self.check_token(None)

    def check_token(self, found: str | None) -> None:
        """Raise PostgresFault if the session has not the token that this one was given."""
        if found != self.token:
            raise PostgresFault(_SHARED, "08P01")

    @property
    def closed(self) -> bool:
        return self._raw.closed

    def close(self) -> None:
        self._watch.end()
        self._raw.close()

    def run(self, text: str, values: Sequence[Any] = ()) -> str:
        """Run a statement (without values: or several), and return the server's word for the last one."""
        with self._errors(), self._watch.waiting():
            cursor = self._raw.execute(text.encode(), values or None)
            while cursor.nextset():
                pass
            return cursor.statusmessage or ""

    def fetch(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query (without values: of the last one of several)."""
        with self._errors(), self._watch.waiting():
            cursor = self._raw.execute(text.encode(), values or None, binary=bool(values))
            while cursor.nextset():
                pass
            return cursor.fetchall()

    def stream(self, text: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Fetch rows as they are asked for; the connection is taken until the last one, or until this is closed."""
        size = _STREAMED if capabilities.has_stream_chunked() else 1
        with self._errors(), self._raw.cursor() as cursor:
            yield from self._watch.each(cursor.stream(text.encode(), values or None, binary=True, size=size))

    def stream_beside(self, text: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Fetch rows as they are asked for, within a transaction that may run other statements meanwhile."""
        name = f"rows_{next(self._numbers)}"
        with self._errors(), self._raw.cursor(name) as cursor:
            cursor.itersize = _STREAMED
            with self._watch.waiting():
                cursor.execute(text.encode(), values or None, binary=True)
            yield from self._watch.each(iter(cursor))

    def run_many(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of the rows, sending all before the first reply is awaited."""
        with self._errors(), self._watch.waiting(), self._raw.cursor() as cursor:
            cursor.executemany(text.encode(), rows)

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add whole rows by one statement."""
        row = f"({', '.join(['%s'] * len(rows[0]))})"
        self.run(f"INSERT INTO {table} VALUES {', '.join([row] * len(rows))}", [value for row in rows for value in row])

    def copy(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add whole rows, and many of them, fast."""
        statement = f"COPY {table} FROM STDIN".encode()
        with self._errors(), self._watch.waiting(), self._raw.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            message = _message(error)
            state = error.sqlstate or state_at_connecting(message)
            lost = is_repeatable(state, connecting=True)
            raise PostgresFault(masked(message, self._url), state, lost=lost) from None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            state = error.sqlstate or ""
            lost = is_repeatable(state, connecting=False) or self._raw.closed
            lost = lost or (not state and isinstance(error, psycopg.OperationalError))
            # Without its context: a traceback would show what the driver's message quotes.
            raise PostgresFault(masked(_message(error), self._url), state, lost=lost) from None


def _literal(value: str) -> str:
    """Quote a setting's value; none holds a backslash, which some settings would read otherwise."""
    assert "\\" not in value
    return "'" + value.replace("'", "''") + "'"


def _message(error: psycopg.Error) -> str:
    """Return the message without detail, context and values."""
    if isinstance(error, psycopg.DataError):
        return f"{type(error).__name__}: the server refuses a value"
    if isinstance(error, psycopg.ProgrammingError) and not error.sqlstate:
        return "psycopg can't use the URL, or the statement"
    if error.sqlstate == "2BP01":  # names what needs what is to go, and no value
        return " ".join(f"{error.diag.message_primary}: {error.diag.message_detail}".split())
    return error.diag.message_primary or " ".join(str(error).split())
