"""Writes `schema.sql` anew: `python -m themis_plugin_sqlite.generating`, after a change of `themis_sql.schema`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from themis_plugin_sqlite import lookups
from themis_plugin_sqlite.making import SCHEMA_FILE
from themis_sql.schema import metadata, views
from themis_sql.statements import tidy

__all__ = ["schema_text"]

_HEX_OF: Final = "lower(hex({}))"
_TIME_OF: Final = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000000, 'unixepoch') || printf('.%06d+00:00', {0} % 1000000)"


def schema_text() -> str:
    """Return what the file is to hold."""
    return tidy(_statements())


def _statements() -> Iterator[str]:
    dialect = sqlite_dialect()
    for table in metadata.sorted_tables:
        yield str(CreateTable(table).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            if "lookup" not in index.columns:
                yield str(CreateIndex(index).compile(dialect=dialect))
    yield from lookups.statements()
    yield from views(_HEX_OF, _TIME_OF)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), "utf-8")
