"""CSV and its relatives: a header line, then one record per row; all values are text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from themis_plugin_files.base import TextFileLoader
from themis_rows import csv_reader, csv_rows, twice_in

__all__ = ["CsvLoader"]


class CsvLoader(TextFileLoader):
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
        if value is not None and (twice := twice_in(value)) is not None:
            raise ValueError(f"the column {twice!r} is there twice")
        return value

    @model_validator(mode="after")
    def _is_a_dialect(self) -> CsvLoader:
        try:
            csv_reader(iter(()), self.delimiter, self.quotechar)
        except (TypeError, ValueError) as error:
            raise ValueError(f"delimiter and quotechar don't make a dialect: {error}") from error
        if self.delimiter == self.quotechar or {self.delimiter, self.quotechar} & {"\r", "\n"}:
            raise ValueError("delimiter and quotechar must be two characters that are no line ends")
        return self

    def rows_of(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        return csv_rows(path, self.columns, self.encoding, delimiter=self.delimiter, quotechar=self.quotechar)
