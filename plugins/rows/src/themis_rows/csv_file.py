"""CSV and its relatives: a header line, then one record per row; all values are text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from themis_core import SpecError, counted, shown_path
from themis_rows.streams import MAX_LINE, numbered_lines, utf8

__all__ = ["csv_reader", "csv_rows", "twice_in"]


def csv_rows(
    path: Path,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    *,
    delimiter: str = ",",
    quotechar: str | None = '"',
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line on which it starts, row); empty lines are no rows. `columns` are those of a file without a header.

    Raises SpecError.
    """
    name, header = shown_path(path), columns
    for line, cells in _records(path, encoding, delimiter, quotechar):
        if header is None:
            if (twice := twice_in(cells)) is not None:
                raise SpecError(f"the column {twice!r} is there twice", path=name, line=line)
            header = cells
            continue
        if len(cells) != len(header):
            message = f"the row has {counted(len(cells), 'cell')}, and the header {counted(len(header), 'column')}"
            raise SpecError(message, path=name, line=line)
        yield line, dict(zip(header, cells, strict=True))
    if header is None:
        raise SpecError("the file is empty; a header line was expected", path=name)


def csv_reader(source: Iterator[str], delimiter: str, quotechar: str | None) -> Any:
    """Make a strict reader of the standard library. Raises TypeError or ValueError for what is no dialect."""
    quoting: Any = csv.QUOTE_NONE if quotechar is None else csv.QUOTE_MINIMAL
    return csv.reader(source, delimiter=delimiter, quotechar=quotechar, quoting=quoting, strict=True)


def _records(path: Path, encoding: str, delimiter: str, quotechar: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the record starts, cells)."""
    # The limit is the module's, not the reader's. It is only ever raised, and lines are bounded anyway.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    reader = csv_reader(_texts(path, encoding), delimiter, quotechar)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise SpecError(f"no valid CSV: {_explained(error)}", path=shown_path(path), line=line) from error


def _texts(path: Path, encoding: str) -> Iterator[str]:
    with numbered_lines(path) as lines:
        for number, line in lines:
            if encoding == "utf-8":
                yield utf8(line, path, number)
                continue
            try:
                yield line.decode(encoding)
            except UnicodeDecodeError as error:
                message = f"no valid {encoding}: byte 0x{line[error.start]:02x} at position {error.start + 1}"
                raise SpecError(message, path=shown_path(path), line=number) from error


def twice_in(names: Sequence[str]) -> str | None:
    """The first name that is there twice."""
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
