"""Recorded files, indexed when they are needed, their rows read on demand.

Memory holds the index of the rows, and no text. Plain JSON Lines are read where they are; all other formats are first
written to a temporary file as JSON Lines.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from themis_core import EngineError, Generation, Request, SpecError, shown_path
from themis_plugin_replay.columns import Columns
from themis_plugin_replay.index import MAX_ROWS_PER_KEY, Index, Spot
from themis_plugin_replay.reading import decode, is_plain_jsonl, rows
from themis_rows import BOM, lines

__all__ = ["Recording"]

# A place is one integer, number of the source and offset of the row, so that an array holds it.
_OFFSET_BITS: Final = 48
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1

_PIECE: Final = 2**16
"""Bytes that are read at a time where rows are asked for in the order of their file."""
_PIECES: Final = 64
"""Places at which files are read in order at the same time, such as one for each model."""


@dataclass(frozen=True, slots=True)
class _Source:
    model: str
    """What the file's name says of the model."""
    path: Path
    file: BinaryIO
    """JSON Lines: the file itself, or its temporary copy."""
    descriptor: int


class Recording:
    """The rows of some files by model, item id and sample."""

    def __init__(self, files: Iterable[tuple[str, Path]], columns: Columns, source: str) -> None:
        """Take digests of files, each given with the model that its name says. Raises SpecError that names the file."""
        self.source = source
        self._files = [(model, path, _sha256(path)) for model, path in files]
        self.content = sorted([model, sha256] for model, _, sha256 in self._files)
        """Model and SHA-256 of each file, sorted: what pins the recording."""
        self._columns = columns
        self._index = Index()
        self._sources: list[_Source] = []
        self._pieces: dict[int, tuple[int, bytes]] = {}
        """By the place of the row that comes next, a piece of its file with its offset."""

    def indexed(self) -> Recording:
        """The same, once every row is checked and can be found; a run that asks nothing needs none of that.

        Raises SpecError that names file and line; of two rows for the same request it names both.
        """
        opened: list[BinaryIO] = []
        weakref.finalize(self, _close, opened)
        for model, path, sha256 in self._files:
            try:
                found = self._add(model, path, opened)
            except OSError as error:
                raise _unreadable(path, error) from error
            if found != sha256:
                raise SpecError("it was changed meanwhile: run the same command again", path=shown_path(path))
        for row, earlier in self._index.sort():
            self._check_differs(row, earlier)
        return self

    def find(self, model: str, request: Request, *, or_none: bool = False) -> Generation | None:
        """Return what was recorded for a request; if nothing was, raises EngineError with code `missing`."""
        key = (model, request.item_id, request.sample_index)
        best: tuple[int, Generation] | None = None
        rivals = 0
        try:
            for spot in self._index.of(hash(key)):
                row, source = self._row(spot)
                # Another key may have the same hash, so the row decides.
                if self._columns.key(row, source.model) != key:
                    continue
                text = self._columns.match(row)
                if text and text not in _last_user_message(request):
                    rivals += 1
                elif best is None or len(text) > best[0]:
                    best = len(text), self._columns.read(row)
        except ValueError as error:
            raise EngineError("missing", f"{self.source} changed while it was used: {error}") from error
        if best is None and or_none:
            return None
        if best is None:
            raise EngineError("missing", self._missing(request, rivals))
        return best[1]

    def _missing(self, request: Request, rivals: int) -> str:
        said = f"no recorded output for item {request.item_id!r} and model {request.model_id!r}"
        if request.sample_index:
            said += f", sample {request.sample_index}"
        said += f" in {self.source}"
        if rivals:
            column = self._columns.fields.match
            said += f"; it has {rivals}, but the text in their column {column!r} is not in the prompt"
        elif request.sample_index and self._columns.fields.sample is None:
            said += "; name the column of the sample index in fields.sample"
        return said

    def _add(self, model: str, path: Path, opened: list[BinaryIO]) -> str:
        """Index a file and return its SHA-256."""
        plain = is_plain_jsonl(path)
        file: Any = path.open("rb", buffering=0) if plain else tempfile.TemporaryFile()  # noqa: SIM115
        opened.append(file)
        source = _Source(model, path, file, file.fileno())
        self._sources.append(source)
        if plain:
            return self._index_in_place(source)
        self._index_copy(source)
        return _sha256(path)

    def _index_in_place(self, source: _Source) -> str:
        digest, offset = hashlib.sha256(), 0
        stream = io.BufferedReader(cast(io.RawIOBase, source.file), 2**20)
        try:
            for number, line in enumerate(lines(stream, source.path), 1):
                digest.update(line)
                if not line.isspace():
                    row = decode(line.removeprefix(BOM) if number == 1 else line, source.path, number)
                    self._index_row(row, number, offset, len(line))
                offset += len(line)
        finally:
            stream.detach()
        return digest.hexdigest()

    def _index_copy(self, source: _Source) -> None:
        offset = 0
        for number, row in rows(source.path):
            # ASCII escapes keep lone surrogates.
            line = json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n"
            source.file.write(line)
            self._index_row(row, number, offset, len(line))
            offset += len(line)
        source.file.flush()

    def _index_row(self, row: dict[str, Any], number: int, offset: int, length: int) -> None:
        """Add a row of the latest source to the index, after a look at everything that a request would want of it."""
        source = self._sources[-1]
        try:
            key = self._columns.key(row, source.model)
            self._columns.check(row)
            match = self._columns.match(row)
        except ValueError as error:
            raise SpecError(str(error), path=shown_path(source.path), line=number) from error
        place = (len(self._sources) - 1) << _OFFSET_BITS | offset
        self._index.add(hash(key), hash(match), place, length)

    def _check_differs(self, spot: Spot, earlier: Spot) -> None:
        """Raise SpecError for a row that answers the same as an earlier one, or is one too many of its key."""
        row, source = self._row(spot)
        key, match = self._columns.key(row, source.model), self._columns.match(row)
        if spot == earlier:
            message = f"more than {MAX_ROWS_PER_KEY} rows for item {key[1]!r}, sample {key[2]}"
            raise SpecError(message, path=shown_path(source.path), line=self._line_of(spot))
        other, its_source = self._row(earlier)
        if self._columns.key(other, its_source.model) != key or self._columns.match(other) != match:
            return
        model = f" and model {key[0]!r}" if key[0] else ""
        where = f"{shown_path(its_source.path)}:{self._line_of(earlier)}"
        hint = "" if match else "; columns for model, sample and match tell rows apart, if named in fields"
        message = f"a second output for item {key[1]!r}{model}, sample {key[2]}; the first is at {where}{hint}"
        raise SpecError(message, path=shown_path(source.path), line=self._line_of(spot))

    def _row(self, spot: Spot) -> tuple[dict[str, Any], _Source]:
        place, length = spot
        source = self._sources[place >> _OFFSET_BITS]
        text = self._bytes(source, place, length).decode()
        try:
            row, _ = _scan(text, 0)
        except StopIteration:  # a space or a byte order mark stands before the row
            row = json.loads(text.removeprefix("\ufeff"))
        if type(row) is not dict:
            raise ValueError("a row is no object any more")
        return row, source

    def _bytes(self, source: _Source, place: int, length: int) -> bytes:
        """The bytes of a row, from a larger piece of the file if it is the one after a row that was read.

        To read each by itself takes as long as to decode it, and lets another thread take Python's lock each time.
        """
        offset = place & _OFFSET_MASK
        piece = self._pieces.pop(place, None)
        if piece is None:
            piece = offset, _read_at(source.descriptor, length, offset)
        elif offset + length > piece[0] + len(piece[1]):
            piece = offset, _read_at(source.descriptor, max(length, _PIECE), offset)
        self._pieces[place + length] = piece
        if len(self._pieces) > _PIECES:
            del self._pieces[next(iter(self._pieces))]
        start = offset - piece[0]
        return piece[1][start : start + length]

    def _line_of(self, spot: Spot) -> int:
        """The line of a row in the file that the user knows. Slow: for messages only."""
        place, _ = spot
        source = self._sources[place >> _OFFSET_BITS]
        before = _count_lines(source.descriptor, place & _OFFSET_MASK)
        if is_plain_jsonl(source.path):
            return before + 1
        return next(islice((number for number, _ in rows(source.path)), before, None))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> SpecError:
    return SpecError(f"can't be read: {error}", path=shown_path(path))


def _last_user_message(request: Request) -> str:
    for message in reversed(request.messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "\n".join(part["text"] for part in content or () if part.get("type") == "text")
    return ""


def _seek_and_read(descriptor: int, length: int, offset: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, length)


# Windows has no `pread`; the engine is used from one thread.
_read_at = getattr(os, "pread", _seek_and_read)
# `json.loads` costs half a microsecond more, by looking for spaces around the row.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def _count_lines(descriptor: int, end: int) -> int:
    return sum(piece.count(b"\n") for piece in _pieces(descriptor, end))


def _pieces(descriptor: int, end: int) -> Iterator[bytes]:
    for offset in range(0, end, 2**20):
        yield _read_at(descriptor, min(2**20, end - offset), offset)


def _close(files: list[BinaryIO]) -> None:
    for file in files:
        file.close()
