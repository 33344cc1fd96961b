"""Recorded files as rows with their lines: JSON Lines, JSON and CSV, decompressed on the way; no meaning of columns."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from themis_core import SpecError, counted, shown_path

__all__ = ["MAX_LINE", "decode", "is_plain_jsonl", "lines", "opened", "rows"]

MAX_LINE: Final = 64 * 2**20
"""Most bytes that one line may have, decompressed: the bound on memory for a hostile or broken file."""
MAX_DOCUMENT: Final = 512 * 2**20
"""Most bytes of a JSON document, which is in memory as text while it is indexed."""

_BOM = b"\xef\xbb\xbf"
_space = re.compile(r"[ \t\n\r]*").match


def is_plain_jsonl(path: Path) -> bool:
    """Whether rows can be read where they are, by their offset."""
    return path.suffix in (".jsonl", ".ndjson")


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line on which it starts, row); raises SpecError that names file and line."""
    kind = path.with_suffix("").suffix if path.suffix in (".gz", ".zst") else path.suffix
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": _csv}
    if kind not in readers:
        known = ", ".join(readers)
        message = f"the name says no format: it must end in one of {known}, also with .gz or .zst behind"
        raise SpecError(message, path=shown_path(path))
    return readers[kind](path)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, decompressed by its suffix; what goes wrong becomes a SpecError that names the file."""
    broken: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)
    raw: Any
    try:
        if path.suffix == ".zst":
            zstandard = _zstandard(path)
            broken = (*broken, zstandard.ZstdError)
            _check_zst_is_whole(path, zstandard)
            raw = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)
        elif path.suffix == ".gz":
            raw = gzip.GzipFile(path, "rb")
        else:
            raw = path.open("rb", buffering=0)
        with io.BufferedReader(raw, 2**20) as stream:
            yield cast(BinaryIO, stream)
    except broken as error:
        raise SpecError(f"can't be read: {error}", path=shown_path(path)) from error


def lines(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the lines with their ends; raises SpecError for one of more than `MAX_LINE` bytes."""
    for number, line in enumerate(iter(partial(stream.readline, MAX_LINE + 1), b""), 1):
        if len(line) > MAX_LINE:
            message = f"the line has more than {MAX_LINE // 2**20} MiB; is this a file of lines?"
            raise SpecError(message, path=shown_path(path), line=number)
        yield line


def decode(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """Decode one line of JSON Lines; raises SpecError that names file and line."""
    try:
        row = _decode(line.removeprefix(_BOM).rstrip().decode())
    except (ValueError, RecursionError) as error:
        raise SpecError(_explained(error), path=shown_path(path), line=number) from error
    if type(row) is not dict:
        raise SpecError("the row is not a JSON object", path=shown_path(path), line=number)
    return row


class _Refused(ValueError):
    """A row that can be decoded, but leaves doubts."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Refused(f"the key {next(name for name in data if names.count(name) > 1)!r} is there twice")
    return data


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members)
_decode = _DECODER.decode


def _explained(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON: {error.msg} (column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"no valid UTF-8: byte 0x{error.object[error.start]:02x}; convert the file to UTF-8"
    # Python's decoder itself raises a bare ValueError for one thing only: whole numbers that are too long for it.
    return "a number has too many digits" if type(error) is ValueError else str(error)


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with opened(path) as stream:
        for number, line in enumerate(lines(stream, path), 1):
            if not line.isspace():
                yield number, decode(line, path, number)


def _json(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with opened(path) as stream:
        data = stream.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        message = f"the document has more than {MAX_DOCUMENT // 2**20} MiB: convert it to JSON Lines"
        raise SpecError(message, path=shown_path(path))
    line, counted = 1, 0
    try:
        text = data.removeprefix(_BOM).decode()
        del data
        for row, start in _elements(text):
            line, counted = line + text.count("\n", counted, start), start
            if type(row) is not dict:
                raise SpecError("the row is not a JSON object", path=shown_path(path), line=line)
            yield line, row
    except (ValueError, RecursionError) as error:
        at = error.lineno if isinstance(error, json.JSONDecodeError) else line
        raise SpecError(f"at or after this line: {_explained(error)}", path=shown_path(path), line=at) from error


def _elements(text: str) -> Iterator[tuple[Any, int]]:
    """Yield (element, offset) of a document that is one list, so that its rows are not in memory together."""
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise json.JSONDecodeError("the document must be a list of objects", text, at)
    at = _skip(text, at + 1)
    mark = text[at : at + 1]
    while mark != "]":
        row, end = _DECODER.raw_decode(text, at)
        yield row, at
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark == ",":
            at = _skip(text, at + 1)
        elif mark != "]":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    if _skip(text, at + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _space(text, at)
    return found.end() if found else at


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    # The limit is the module's, not the reader's. It is only ever raised, and lines are bounded anyway.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    line, header = 1, None
    with opened(path) as stream:
        texts = enumerate(lines(stream, path))
        reader = csv.reader((each.decode("utf-8" if index else "utf-8-sig") for index, each in texts), strict=True)
        try:
            for cells in reader:
                if cells and header is None:
                    header = _header(cells)
                elif cells and header is not None:
                    if len(cells) != len(header):
                        columns = counted(len(header), "column")
                        raise _Refused(f"the row has {counted(len(cells), 'cell')}, and the header {columns}")
                    yield line, dict(zip(header, cells, strict=True))
                line = reader.line_num + 1
        except (csv.Error, ValueError) as error:
            raise SpecError(_explained(error), path=shown_path(path), line=line) from error


def _header(cells: list[str]) -> list[str]:
    if len(set(cells)) < len(cells):
        raise _Refused(f"the column {next(each for each in cells if cells.count(each) > 1)!r} is there twice")
    return cells


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError as error:
        message = "reading Zstandard needs a further package: pip install 'themis-plugin-replay[zstd]'"
        raise SpecError(message, path=shown_path(path)) from error
    return zstandard


def _check_zst_is_whole(path: Path, zstandard: Any) -> None:
    """Raise EOFError if the last frame is cut off, which the decompressor takes for an ordinary end.

    Walks from block header to block header (RFC 8878, section 3.1) without decompressing.
    """
    size = path.stat().st_size
    at = 0
    with path.open("rb") as stream:
        while at < size:
            stream.seek(at)
            head = stream.read(18)
            if len(head) < 8:
                break
            if head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:  # a skippable frame
                at += 8 + int.from_bytes(head[4:8], "little")
            else:
                at = _end_of_frame(stream, at, head, zstandard)
    if at != size:
        raise EOFError("the compressed data ends too early; the file was cut off")


def _end_of_frame(stream: BinaryIO, at: int, head: bytes, zstandard: Any) -> int:
    checksum = 4 if zstandard.get_frame_parameters(head).has_checksum else 0
    at += zstandard.frame_header_size(head)
    while True:
        stream.seek(at)
        header = stream.read(3)
        if len(header) < 3:
            return -1
        block = int.from_bytes(header, "little")
        run_length = (block >> 1) & 3 == 1  # one byte stands for the whole block
        at += 3 + (1 if run_length else block >> 3)
        if block & 1:
            return at + checksum
