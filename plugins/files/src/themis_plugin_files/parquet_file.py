"""Parquet, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from themis_core import DatasetQuerySpec, DatasetSpec, Row, SpecError, shown_path
from themis_plugin_files.base import FileLoader
from themis_plugin_files.pushdown import Wanted, columns_needed, ruled_out, wanted_texts

__all__ = ["ParquetLoader"]

_BATCH_ROWS = 1024


class ParquetLoader(FileLoader):
    """Reads Parquet; values become what JSON can hold, without loss, or the file is refused."""

    columns: list[str] | None = Field(
        None, description="Read only these columns; the way around columns that hold bytes.", min_length=1
    )
    nan: Literal["refuse", "null"] = Field(
        "refuse",
        description="What a number that is not finite becomes: an error that names file and row, or null, which "
        "can't be told from a missing value.",
    )

    def read(self, path: Path, dataset: DatasetSpec, query: DatasetQuerySpec) -> Iterator[Row]:
        pyarrow, parquet = _pyarrow(path)
        name, wanted = shown_path(path), wanted_texts(dataset, query)
        number = 0
        try:
            # Without pre-buffering, a row group of any size is read piece by piece.
            with parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
                schema = file.schema_arrow
                columns = self._columns(schema.names, dataset, query, name)
                convert = self._converters(schema, columns, name)
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    for offset, data in _rows(pyarrow, batch, wanted, name, number):
                        for column, converter in convert:
                            data[column] = _converted(data[column], converter, column, name, offset)
                        yield Row(data, f"{name}:row {offset}")
                    number += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise SpecError(f"can't be read after row {number}: {error}", path=name) from error

    def _columns(self, available: list[str], dataset: DatasetSpec, query: DatasetQuerySpec, name: str) -> list[str]:
        if len(set(available)) < len(available):
            twice = next(each for each in available if available.count(each) > 1)
            raise SpecError(f"the column {twice!r} is there twice", path=name)
        for column in self.columns or ():
            if column not in available:
                raise SpecError(f"no column {column!r}; there are: {', '.join(available)}", path=name)
        chosen = [each for each in available if self.columns is None or each in self.columns]
        needed = columns_needed(dataset, query, chosen)
        return chosen if needed is None else needed

    def _converters(self, schema: Any, columns: list[str], name: str) -> list[tuple[str, Any]]:
        from themis_plugin_files.arrow_values import NoJson, converter

        found = []
        for column in columns:
            try:
                convert = converter(schema.field(column).type, nan_is_null=self.nan == "null")
            except NoJson as error:
                message = f"the column {column!r} holds {error}; leave it out: name the others in extras.columns"
                raise SpecError(message, path=name) from error
            if convert is not None:
                found.append((column, convert))
        return found


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        message = "reading Parquet needs a further package: pip install 'themis-plugin-files[parquet]'"
        raise SpecError(message, path=shown_path(path)) from error
    return pyarrow, pyarrow.parquet


def _rows(pyarrow: Any, batch: Any, wanted: Wanted, name: str, before: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, row) for the rows of a batch that the query does not rule out."""
    present = [(column, texts) for column, texts in wanted if _is_as_stored(batch.schema, column)]
    numbers: Any = range(before + 1, before + 1 + batch.num_rows)
    if present:
        # The few columns that decide come first: rows that are ruled out never become Python objects.
        deciding = batch.select([column for column, _ in present])
        kept = [index for index, row in enumerate(deciding.to_pylist()) if not ruled_out(row, wanted)]
        batch, numbers = batch.take(pyarrow.array(kept, pyarrow.int64())), [numbers[index] for index in kept]
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = (_one_row(batch, index, number, name) for index, number in enumerate(numbers))
    yield from zip(numbers, rows, strict=True)


def _is_as_stored(schema: Any, column: str) -> bool:
    """Whether what is stored tells what the item will have: the text of a JSON column is not yet read."""
    from themis_plugin_files.arrow_values import is_json

    return column in schema.names and not is_json(schema.field(column).type)


def _one_row(batch: Any, index: int, number: int, name: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = batch.slice(index, 1).to_pylist()[0]
    except (ValueError, OverflowError) as error:
        raise SpecError(f"row {number}: {error}", path=name) from error
    return row


def _converted(value: Any, converter: Any, column: str, name: str, number: int) -> Any:
    try:
        return None if value is None else converter(value)
    except ValueError as error:
        raise SpecError(f"row {number}: the column {column!r} holds {error}", path=name) from error
