"""How single values are turned into what any SQL database can hold, and back, without loss.

No schema and no I/O.
"""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from zstandard import ZstdCompressor, ZstdDecompressor

__all__ = [
    "display_form",
    "from_json",
    "json_ascii",
    "json_bytes",
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


json_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
"""Encode as JSON in ASCII. Raises ValueError for NaN and infinities, which no record may hold."""

_json_unicode = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, check_circular=False, ensure_ascii=False
).encode
from_json = json.JSONDecoder().decode

_AS_JSON_DOES: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def json_bytes(value: Any) -> bytes:
    """Encode as JSON in UTF-8, with escapes only where they are needed. Raises ValueError for NaN and infinities.

    orjson does so in a fifth of json's time, but makes null of NaN, and takes no large integers, no keys that are
    numbers, and no lone surrogates.
    """
    try:
        encoded = orjson.dumps(value, option=_AS_JSON_DOES)
    except orjson.JSONEncodeError:
        return _by_json(value)
    if b"null" in encoded:
        json_ascii(value)  # raises for what is no null
    return encoded


def _by_json(value: Any) -> bytes:
    try:
        return _json_unicode(value).encode()
    except UnicodeEncodeError:  # lone surrogates
        return json_ascii(value).encode()


def json_text(value: Any) -> str:
    """Encode as JSON that every database takes as text and people can read: escapes only where they are needed."""
    return json_bytes(value).decode("utf-8")


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


def pack_body(events: bytes) -> tuple[int, bytes]:
    """Return how a group of events, as JSON, is encoded, and its bytes: compressed, with a checksum."""
    return _ZSTD, ZstdCompressor(level=1, write_checksum=True).compress(events)


def unpack_body(encoding: int, body: bytes) -> list[dict[str, Any]]:
    plain = ZstdDecompressor().decompress(body) if encoding == _ZSTD else body  # as earlier versions left short ones
    events: list[dict[str, Any]] = from_json(plain.decode("utf-8"))
    return events
