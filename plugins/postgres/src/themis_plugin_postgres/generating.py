"""Writes `schema.sql` anew: `python -m themis_plugin_postgres.generating`, after a change of `themis_sql.schema`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import MetaData, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import dialect as postgres_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from themis_plugin_postgres.creation import SCHEMA_FILE
from themis_sql.schema import indices, metadata, views
from themis_sql.statements import tidy

__all__ = ["schema_text"]

_HEX_OF: Final = "encode({}, 'hex')"
_TIME_OF: Final = (
    "to_char(timestamp '1970-01-01' + {} * interval '1 microsecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"
)
_INDICES: Final = {
    "runs": "USING hash (run_id)",
    "settings": "USING hash (params)",
    "scorers": "USING hash (score)",
    "arms": "(run)",
    "batches": "USING hash (nonce)",
}
"""In place of unique constraints over names: B-trees refuse values above some 2,700 bytes, and one process at a time
gives out ids."""


def schema_text() -> str:
    """Return what the file is to hold."""
    return tidy(_statements())


def _statements() -> Iterator[str]:
    dialect = postgres_dialect()  # type: ignore[no-untyped-call]
    for shared in metadata.sorted_tables:
        table = shared.to_metadata(MetaData())
        for column in table.columns:
            if isinstance(column.type, Text):
                column.type = Text(collation="C")  # by code points, whatever the database's language
        for constraint in [each for each in table.constraints if isinstance(each, UniqueConstraint)]:
            table.constraints.remove(constraint)
        yield str(CreateTable(table).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            if not any(isinstance(column.type, Text) for column in index.columns):
                yield str(CreateIndex(index).compile(dialect=dialect))
        if index_on := _INDICES.get(table.name):
            yield f"CREATE INDEX {table.name}_names ON {table.name} {index_on}"
        yield from indices(table.name)
    yield from views(_HEX_OF, _TIME_OF)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), "utf-8")
