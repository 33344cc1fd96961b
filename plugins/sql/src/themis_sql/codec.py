"""How single values are turned into what any SQL database can hold, and back, without loss.

No schema and no I/O.
"""

from __future__ import annotations

import json
import json.encoder
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from zstandard import ZstdCompressor, ZstdDecompressor

__all__ = [
    "display_form",
    "from_json",
    "json_ascii",
    "json_text",
    "lookup_of",
    "micros_of",
    "pack_body",
    "pack_key",
    "pack_name",
    "time_of",
    "to_bytes",
    "unpack_body",
    "unpack_key",
    "unpack_name",
]

_MARK = "json:"
_PLAIN, _ZSTD = 0, 1
_first_bits = struct.Struct(">i").unpack_from
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _encoder(*, ascii_only: bool) -> Callable[[Any], str]:
    """The `encode` of an encoder, without making its parts anew for each value: that takes as long as a short one."""
    made = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False, ensure_ascii=ascii_only)
    string = json.encoder.encode_basestring_ascii if ascii_only else json.encoder.encode_basestring
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        parts = make(None, made.default, string, None, ":", ",", False, False, False)
    except TypeError:  # a Python without an encoder in C, or whose takes other arguments
        return made.encode
    return lambda value: "".join(parts(value, 0))


json_ascii = _encoder(ascii_only=True)
"""Encode as JSON in ASCII. Raises ValueError for NaN and infinities, which no record may hold."""

_json_unicode = _encoder(ascii_only=False)
from_json = json.JSONDecoder().decode


def json_text(value: Any) -> str:
    """Encode as JSON that every database takes as text and people can read: escapes only where they are needed."""
    text = _json_unicode(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # lone surrogates
            return json_ascii(value)
    return text


def to_bytes(text: str) -> bytes:
    """Encode any text in UTF-8, lone surrogates included; `bytes.decode("utf-8", "surrogatepass")` reverses it."""
    return text.encode("utf-8", "surrogatepass")


def display_form(text: str) -> str | None:
    """Return None if every database takes the text as it is, else the text with what they refuse replaced."""
    if "\0" not in text:
        if text.isascii():
            return None
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return None
    shown = text.replace("\0", "\N{SYMBOL FOR NULL}")
    return shown.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def pack_key(key: str) -> bytes:
    """Turn a SHA-256 in hexadecimal into its 32 bytes; any other text into bytes that can't be mistaken for one."""
    if len(key) == 64:
        try:
            packed = bytes.fromhex(key)
        except ValueError:
            pass
        else:
            if packed.hex() == key:  # no capitals, no spaces
                return packed
    packed = to_bytes(key) + b"\xff"  # a byte that UTF-8 never has
    return packed + b"\xff" if len(packed) == 32 else packed


def unpack_key(packed: bytes) -> str:
    if len(packed) == 32:
        return packed.hex()
    return packed.rstrip(b"\xff").decode("utf-8", "surrogatepass")


def lookup_of(packed: bytes, salt: int = 0) -> int:
    """Return the 32 signed bits under which a row is looked up; several rows may share them, as some of a million do.

    `salt`, in [0, 2^31), spreads rows of one key.

    An index over them is a quarter of the size of one over the whole keys, and an insert into it costs as much less:
    the pages of such indices are most of what a commit writes.
    """
    bits: int = _first_bits(packed if len(packed) >= 4 else packed.ljust(4, b"\xff"))[0]
    return bits ^ salt


def pack_name(name: str) -> str:
    """Return the name itself, or a JSON form of it if a database would refuse or cut it."""
    if display_form(name) is None and not name.startswith(_MARK):
        return name
    return _MARK + json_ascii(name)


def unpack_name(packed: str) -> str:
    return str(from_json(packed[len(_MARK) :])) if packed.startswith(_MARK) else packed


def micros_of(at: str) -> int:
    """Return the microseconds since 1970 of a time in ISO 8601, in UTC if it names no zone. Raises ValueError."""
    moment = datetime.fromisoformat(at)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def time_of(micros: int) -> str:
    """Return a time as `micros_of` read it: in UTC, ISO 8601 with microseconds."""
    return (_EPOCH + micros * _MICROSECOND).isoformat(timespec="microseconds")


def pack_body(text: str) -> tuple[int, bytes]:
    """Return how a group of events is encoded, and its bytes: compressed, with a checksum."""
    return _ZSTD, ZstdCompressor(level=1, write_checksum=True).compress(text.encode("ascii"))


def unpack_body(encoding: int, body: bytes) -> list[dict[str, Any]]:
    plain = ZstdDecompressor().decompress(body) if encoding == _ZSTD else body  # as earlier versions left short ones
    events: list[dict[str, Any]] = from_json(plain.decode("ascii"))
    return events
