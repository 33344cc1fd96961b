"""What a database must offer so that the shared store can work on it: connections, transactions, locks.

It knows no table. SQLite and Postgres each have one subclass, in their own plugin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, ClassVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from themis_core import StorageError

__all__ = ["CommitUnknown", "Database"]

_CHUNKS = (16, 64, 256, 1024)


class CommitUnknown(Exception):
    """The commit reported an error, so the transaction may be stored or not."""


class Database(ABC):
    """One open connection, in autocommit mode: transactions are begun and ended by `transaction` alone."""

    placeholder: ClassVar[str] = "?"
    """A parameter in SQL text, in the driver's style."""
    hex_of: ClassVar[str] = "lower(hex({}))"
    """Bytes as hexadecimal digits, in the database's SQL."""
    begin: ClassVar[str] = "BEGIN"
    """Begins a transaction that writes; no second one may begin before it ends, on any connection."""

    connection: Connection

    @abstractmethod
    def connect(self) -> None:
        """Open the connection, closing the one that is there."""

    @abstractmethod
    def explain(self, error: SQLAlchemyError) -> str:
        """Say in one or two sentences what went wrong and what to do, without any stored text."""

    @abstractmethod
    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        """As `Store.lock_run`."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; a second call does nothing."""

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Run one query; rows are fetched as they are asked for. `?` in the text is the placeholder."""
        cursor = self.connection.exec_driver_sql(self._text(sql), values)
        try:
            yield from cursor
        finally:
            cursor.close()

    def row(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """Return the first row, or None."""
        return self.connection.exec_driver_sql(self._text(sql), values).first()

    def rows_in(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        """Run a query whose `IN (*)` takes the values, about a thousand at a time.

        Lists are padded to a few lengths, so that the driver can keep the prepared statements.
        """
        start = 0
        while start < len(values):
            part = tuple(values[start : start + _CHUNKS[-1]])
            start += len(part)
            size = next(size for size in _CHUNKS if size >= len(part))
            part += part[:1] * (size - len(part))
            text = sql.replace("*", ",".join([self.placeholder] * size))
            yield from self.connection.exec_driver_sql(text, part).all()

    def write(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Run one statement for each of the rows, of which there must be one at least."""
        self.connection.exec_driver_sql(self._text(sql), rows)

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        self.connection.exec_driver_sql(self._text(sql), values).close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing. Raises CommitUnknown if the commit itself reports an error."""
        self.run(self.begin)
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        try:
            self.run("COMMIT")
        except SQLAlchemyError as error:
            self._roll_back()
            raise CommitUnknown from error

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the driver's errors into StorageError, the cause kept."""
        try:
            yield
        except SQLAlchemyError as error:
            raise StorageError(self.explain(error)) from error

    def _roll_back(self) -> None:
        with suppress(SQLAlchemyError):  # after some errors the database has rolled back already
            self.run("ROLLBACK")

    def _text(self, sql: str) -> str:
        return sql if self.placeholder == "?" else sql.replace("?", self.placeholder)
