"""Files as bounded streams of bytes and lines, decompressed on the way; no formats."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from themis_core import SpecError, shown_path

__all__ = ["BOM", "MAX_LINE", "fingerprint", "lines", "numbered_lines", "opened", "utf8"]

MAX_LINE: Final = 64 * 2**20
"""Most bytes that one line may have, decompressed: the bound on memory for a hostile or broken file."""

_BUFFER: Final = 2**20
_PIECE: Final = 2**16
"""Bytes of which the lines are told apart at a time."""
BOM: Final = b"\xef\xbb\xbf"


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader[Any]]:
    """Open a file for reading, decompressed by its suffix (`.gz`, `.zst`).

    Whatever goes wrong while it is open and read becomes a SpecError that names the file.
    """
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
        with io.BufferedReader(raw, _BUFFER) as stream:
            yield stream
    except broken as error:
        raise SpecError(f"can't be read: {error}", path=shown_path(path)) from error


@contextmanager
def numbered_lines(path: Path) -> Iterator[Iterator[tuple[int, bytes]]]:
    """Open a file as its lines with their numbers (from 1), without a byte order mark. Raises as `opened` does."""
    with opened(path) as stream:
        rest = lines(stream, path)
        first = (line.removeprefix(BOM) for line in islice(rest, 1))
        yield enumerate(chain(first, rest), 1)


def lines(stream: io.BufferedReader[Any], path: Path) -> Iterator[bytes]:
    """The lines of an open file with their ends. Raises SpecError for one of more than `MAX_LINE` bytes."""
    return chain.from_iterable(_some_lines(stream, path))


def _some_lines(stream: io.BufferedReader[Any], path: Path) -> Iterator[list[bytes]]:
    """Some lines at a time: that nothing of Python's is done for each takes a third of the time."""
    before = 0
    while piece := stream.read1(_PIECE):
        piece += b"" if piece.endswith(b"\n") else stream.readline(MAX_LINE + 1)
        # Only "\n" ends a line: a JSON text may hold the other line separators of Unicode.
        some = io.BytesIO(piece).readlines()
        if len(piece) > MAX_LINE and (long := [at for at, line in enumerate(some) if len(line) > MAX_LINE]):
            yield some[: long[0]]
            message = f"the line has more than {MAX_LINE // 2**20} MiB; is this a file of lines?"
            raise SpecError(message, path=shown_path(path), line=before + long[0] + 1)
        yield some
        before += len(some)


def utf8(data: bytes, path: Path, line: int) -> str:
    """Decode UTF-8; `line` is that of the first byte, and SpecError names the line of a wrong byte."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"no valid UTF-8: byte 0x{data[error.start]:02x} at position {column}; convert the file to UTF-8"
        raise SpecError(message, path=shown_path(path), line=line) from error


def fingerprint(path: Path, base_dir: Path) -> dict[str, Any]:
    """Path (relative to `base_dir` where it lies in it), size in bytes and SHA-256 of a file as it is stored."""
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except OSError as error:
        raise SpecError(f"can't be read: {error}", path=shown_path(path)) from error
    name = path.relative_to(base_dir) if path.is_relative_to(base_dir) else path
    return {"path": name.as_posix(), "size": size, "sha256": sha256}


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError as error:
        message = "reading Zstandard needs a further package: pip install 'themis-rows[zstd]'"
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
