"""What a database must offer so that the shared store can work on it: connections, transactions, locks.

It knows no table. SQLite and Postgres each have one subclass, in their own plugin. Statements go straight to the
driver: a batch has some fifteen of them, and SQLAlchemy would take longer over each than the database does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any, ClassVar, TypeVar

from themis_core import Holder, StorageError

__all__ = ["CommitUnknown", "Database"]

T = TypeVar("T")
_CHUNKS = (16, 64, 256, 1024)


class CommitUnknown(Exception):
    """The commit reported an error, so the transaction may be stored or not."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
        """The driver's."""


class Database(ABC):
    """One open connection, in autocommit mode: transactions are begun and ended by `transaction` alone."""

    placeholder: ClassVar[str] = "?"
    """A parameter in SQL text, in the driver's style."""
    begin: ClassVar[str] = "BEGIN"
    """Begins a transaction that writes. It sees what was stored as it began and what it writes itself, to its end."""
    several_writers: ClassVar[bool] = False
    """Whether transactions that write go on beside each other. If so, a row that two of them add or change ends one of
    them with an error, and `settle` repeats it; if not, each waits for the one before."""
    for_update: ClassVar[str] = ""
    """At the end of a query: keeps its rows for this transaction, where transactions that write go on side by side."""
    driver_error: ClassVar[type[Exception]]
    """Base of all that the driver raises."""

    connection: Any
    """The driver's (DBAPI) connection; its `execute` makes a cursor."""

    @abstractmethod
    def connect(self) -> None:
        """Open the connection, closing the one that is there."""

    @abstractmethod
    def explain(self, error: Exception) -> str:
        """Say in one or two sentences what went wrong and what to do, without any stored text."""

    @abstractmethod
    def lock_run(self, run_id: str, part: str = "") -> AbstractContextManager[None]:
        """As `Store.lock_run`."""

    @abstractmethod
    def is_held(self, run_id: str, part: str | None = None) -> bool:
        """As `Store.is_held`."""

    @abstractmethod
    def at_work(self, run_id: str) -> Sequence[Holder]:
        """As `Store.at_work`."""

    @abstractmethod
    def report(self, run_id: str, part: str, progress: Mapping[str, Any]) -> None:
        """As `Store.report`."""

    @abstractmethod
    def has_others_at_work(self, run_id: str) -> bool:
        """As `Store.has_others_at_work`."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; a second call does nothing."""

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Run one query; rows are fetched as they are asked for. `?` in the text is the placeholder."""
        cursor = self.connection.execute(self._text(sql), values)
        try:
            for row in cursor:  # noqa: UP028 (`yield from` closes the cursor of who stops reading, as below)
                yield row
        finally:
            with suppress(self.driver_error):  # who stopped reading may have closed the database before
                cursor.close()

    def row(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """Return the first row, or None."""
        with closing(self.connection.execute(self._text(sql), values)) as cursor:
            return cursor.fetchone()

    def rows_in(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        """Run a query of which each `IN (*)` takes the values, about a thousand at a time.

        Lists are padded to a few lengths, so that the driver can keep the prepared statements.
        """
        start = 0
        while start < len(values):
            part = tuple(values[start : start + _CHUNKS[-1]])
            start += len(part)
            size = next(size for size in _CHUNKS if size >= len(part))
            part += part[:1] * (size - len(part))
            text = sql.replace("*", ",".join([self.placeholder] * size))
            with closing(self.connection.execute(text, part * sql.count("*"))) as cursor:
                found = cursor.fetchall()
            yield from found

    def rows_found(self, table: str, sql: str, lookups: Sequence[int]) -> Iterator[Any]:
        """Run a query of which `lookup IN (*)` finds rows of this table by the first bits of their keys."""
        return self.rows_in(sql, lookups)

    def sort_lookups(self) -> None:  # noqa: B027 (an index does it by itself)
        """Bring what finds rows by lookup bits up to date after tables were made again, within that transaction."""

    def write(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Run one statement for each of the rows, of which there must be one at least."""
        with closing(self.connection.cursor()) as cursor:
            cursor.executemany(self._text(sql), rows)

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        self.connection.execute(self._text(sql), values).close()

    def take_seq(self) -> int:
        """Return a number for the log, within a transaction; one that sees this one's rows is given a higher one.

        Only a database of several writers hands them out.
        """
        raise NotImplementedError

    def settle(self, do: Callable[[], T], *, alone: bool = False) -> T:
        """Call it in a transaction and return what it returns; it is called again if others' writes were in the way."""
        with self.transaction(alone=alone):
            return do()

    @contextmanager
    def transaction(self, *, alone: bool = False) -> Iterator[None]:
        """Write all or nothing; `alone` keeps others from writing meanwhile.

        Raises CommitUnknown if the commit itself reports an error.
        """
        self._begin(alone=alone)
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        try:
            self.run("COMMIT")
        except self.driver_error as error:
            self._roll_back()
            raise CommitUnknown(error) from error
        except BaseException:  # an interrupt, which may have come before it was asked for
            self._roll_back()
            raise

    @abstractmethod
    def clock(self) -> float:
        """The time in seconds since 1970, by the clock that all who use this database share."""

    @abstractmethod
    def brief(self) -> AbstractContextManager[None]:
        """A transaction that writes what need not survive a power cut. It waits for no disk."""

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the driver's errors into StorageError, the cause kept."""
        try:
            yield
        except self.driver_error as error:
            raise StorageError(self.explain(error)) from error

    def _begin(self, *, alone: bool) -> None:
        try:
            self.run(self.begin)
        except BaseException:  # an interrupt during the wait for others is raised when it has begun
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        with suppress(self.driver_error):  # after some errors the database has rolled back already
            self.run("ROLLBACK")

    def _text(self, sql: str) -> str:
        return sql if self.placeholder == "?" else sql.replace("?", self.placeholder)
