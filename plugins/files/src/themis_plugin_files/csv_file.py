"""CSV and its relatives: a header line, then one record per row; all values are text."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from themis_core import DatasetQuerySpec, DatasetSpec, Row, SpecError, counted, shown_path
from themis_plugin_files.base import FileLoader
from themis_plugin_files.pushdown import ruled_out, wanted_texts
from themis_plugin_files.reading import MAX_LINE, lines, utf8

__all__ = ["CsvLoader"]


class CsvLoader(FileLoader):
    """Reads CSV; every value is text as it stands in the file, empty cells are empty text."""

    delimiter: str = Field(",", description="Character between the cells; a tab for TSV.", min_length=1, max_length=1)
    quotechar: str | None = Field(
        '"',
        description="Character around cells that contain delimiters or line breaks; null if none is special.",
        min_length=1,
        max_length=1,
    )
    columns: list[str] | None = Field(
        None, description="Names of the columns, for files without a header line.", min_length=1
    )
    encoding: str = Field(
        "utf-8", description="Character encoding: UTF-8, or one that extends ASCII, such as `cp1252`."
    )

    @field_validator("encoding")
    @classmethod
    def _extends_ascii(cls, value: str) -> str:
        try:
            plain = "a,\n".encode(value) == b"a,\n" or codecs.lookup(value).name == "utf-8-sig"
        except (LookupError, UnicodeError) as error:
            raise ValueError(f"{value!r} is no known character encoding") from error
        if not plain:
            raise ValueError(f"{value!r} does not extend ASCII: convert the file to UTF-8")
        return "utf-8" if codecs.lookup(value).name in ("utf-8", "utf-8-sig") else value

    @field_validator("columns")
    @classmethod
    def _differ(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (twice := _twice(value)) is not None:
            raise ValueError(f"the column {twice!r} is there twice")
        return value

    @model_validator(mode="after")
    def _is_a_dialect(self) -> CsvLoader:
        try:
            self._reader(iter(()))
        except (TypeError, ValueError) as error:
            raise ValueError(f"delimiter and quotechar don't make a dialect: {error}") from error
        if self.delimiter == self.quotechar or {self.delimiter, self.quotechar} & {"\r", "\n"}:
            raise ValueError("delimiter and quotechar must be two characters that are no line ends")
        return self

    def read(self, path: Path, dataset: DatasetSpec, query: DatasetQuerySpec) -> Iterator[Row]:
        name, wanted = shown_path(path), wanted_texts(dataset, query)
        header = self.columns
        for line, cells in self._records(path):
            if header is None:
                if (twice := _twice(cells)) is not None:
                    raise SpecError(f"the column {twice!r} is there twice", path=name, line=line)
                header = cells
                continue
            if len(cells) != len(header):
                message = f"the row has {counted(len(cells), 'cell')}, and the header {counted(len(header), 'column')}"
                raise SpecError(message, path=name, line=line)
            data = dict(zip(header, cells, strict=True))
            if not (wanted and ruled_out(data, wanted)):
                yield Row(data, f"{name}:{line}")
        if header is None:
            raise SpecError("the file is empty; a header line was expected", path=name)

    def _records(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Yield (line on which the record starts, cells); empty lines are no records."""
        # The limit is the module's, not the reader's. It is only ever raised, and lines are bounded anyway.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
        reader = self._reader(self._lines(path))
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise SpecError(f"no valid CSV: {_explained(error)}", path=shown_path(path), line=line) from error

    def _reader(self, source: Iterator[str]) -> Any:
        quoting: Any = csv.QUOTE_NONE if self.quotechar is None else csv.QUOTE_MINIMAL
        return csv.reader(source, delimiter=self.delimiter, quotechar=self.quotechar, quoting=quoting, strict=True)

    def _lines(self, path: Path) -> Iterator[str]:
        for number, line in lines(path):
            if self.encoding == "utf-8":
                yield utf8(line, path, number)
                continue
            try:
                yield line.decode(self.encoding)
            except UnicodeDecodeError as error:
                message = f"no valid {self.encoding}: byte 0x{line[error.start]:02x} at position {error.start + 1}"
                raise SpecError(message, path=shown_path(path), line=number) from error


def _twice(names: list[str]) -> str | None:
    return next((name for name in dict.fromkeys(names) if names.count(name) > 1), None)


def _explained(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end of data" in message:
        return "a quoted cell that starts in this row is never closed"
    if "field limit" in message:
        return f"a cell has more than {MAX_LINE // 2**20} MiB; is a quotation mark not closed?"
    if "new-line character" in message:
        return "a carriage return stands alone; convert the line ends, or quote the cell"
    return message
