"""Values on their way into a database and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from themis_core.testing.hostile import HOSTILE_TEXTS
from themis_sql.codec import (
    display_form,
    from_json,
    json_text,
    lookup_of,
    micros_of,
    pack_body,
    pack_key,
    pack_name,
    time_of,
    to_bytes,
    unpack_body,
    unpack_key,
    unpack_name,
)
from themis_sql.layout import WIDTHS
from themis_sql.schema import metadata

any_text = st.text(st.characters(codec=None))
plain_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
SHA = "0123456789abcdef" * 4


@settings(deadline=None)  # a machine may be slow
@given(any_text)
def test_any_name_is_packed_so_that_databases_take_it(name: str) -> None:
    packed = pack_name(name)
    packed.encode()
    assert "\0" not in packed
    assert unpack_name(packed) == name


@settings(deadline=None)  # a machine may be slow
@given(any_text | st.from_regex("[0-9a-fA-F]{64}", fullmatch=True))
def test_any_key_is_packed_without_loss(key: str) -> None:
    packed = pack_key(key)
    assert unpack_key(packed) == key
    assert (len(packed) == 32) == (len(key) == 64 and set(key) <= set("0123456789abcdef"))


@pytest.mark.parametrize(
    ("key", "packed"),
    [
        (SHA, bytes.fromhex(SHA)),
        (SHA.upper(), SHA.upper().encode() + b"\xff"),
        ("", b"\xff"),
        ("k1", b"k1\xff"),
        ("x" * 31, b"x" * 31 + b"\xff\xff"),  # with one byte only it would be as long as a SHA-256
        ("x" * 32, b"x" * 32 + b"\xff"),
    ],
)
def test_a_key_is_packed_to_the_bytes_of_its_digest_or_to_marked_text(key: str, packed: bytes) -> None:
    assert pack_key(key) == packed


def test_lookup_bits_are_the_first_four_bytes_signed_and_salted() -> None:
    assert lookup_of(bytes.fromhex("000000ff" + "0" * 56)) == 255
    assert lookup_of(b"\xff" * 32) == -1
    assert lookup_of(b"k") == int.from_bytes(b"k" + b"\xff" * 3, "big")
    assert lookup_of(b"\xff" * 32, 3) == -4


@pytest.mark.parametrize(
    ("at", "micros", "shown"),
    [
        ("1970-01-01T00:00:00.000000+00:00", 0, None),
        ("2026-11-27T05:48:11.000006+00:00", 1_795_758_491_000_006, None),
        ("9999-12-31T23:59:59.999999+00:00", 253_402_300_799_999_999, None),
        ("2026-11-27T06:48:11+01:00", 1_795_758_491_000_000, "2026-11-27T05:48:11.000000+00:00"),
        ("2026-11-27", 1_795_737_600_000_000, "2026-11-27T00:00:00.000000+00:00"),
        ("1969-12-31T23:59:59.999999Z", -1, "1969-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_time_is_a_number_and_given_back_in_utc_to_the_microsecond(at: str, micros: int, shown: str | None) -> None:
    assert micros_of(at) == micros
    assert time_of(micros) == (shown or at)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", None),
        ("ü 漢 \U0001f600 \x01\x7f\u202e", None),
        ("a\0b", "a␀b"),
        ("a\ud83db", "a\ufffd\ufffd\ufffdb"),
        ("\0\udc00ü", "␀\ufffd\ufffd\ufffdü"),
    ],
)
def test_only_what_a_database_refuses_gets_a_display_form(text: str, shown: str | None) -> None:
    assert display_form(text) == shown


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_bytes_of_any_text_give_it_back(text: str) -> None:
    assert to_bytes(text).decode("utf-8", "surrogatepass") == text


@settings(deadline=None)  # a machine may be slow
@given(st.recursive(any_text, lambda inner: st.lists(inner) | st.dictionaries(any_text, inner), max_leaves=5))
def test_json_text_is_valid_text_and_gives_the_value_back(value: object) -> None:
    text = json_text(value)
    text.encode()
    assert "\0" not in text
    assert from_json(text) == value


@pytest.mark.parametrize("more", [{}, {"n": None}, {"n": 2**80}, {"n": {3: 4}}], ids=["plain", "null", "large", "keys"])
def test_json_text_is_readable(more: dict[str, object]) -> None:
    text = json_text({"q": "Wie groß? 漢", **more})
    assert text.startswith('{"q":"Wie groß? 漢"')
    assert from_json(text) == json.loads(json.dumps({"q": "Wie groß? 漢", **more}))


@settings(deadline=None)
@given(st.recursive(plain_numbers, lambda inner: st.lists(inner) | st.tuples(inner, inner), max_leaves=5))
def test_json_text_gives_each_number_back_and_its_kind(value: object) -> None:
    assert repr(from_json(json_text(value))) == repr(json.loads(json.dumps(value)))


class Colour(StrEnum):
    RED = "red"


class Text(str):
    pass


@pytest.mark.parametrize("value", [Text("a"), {"a": Text("b")}, [Colour.RED], {Colour.RED: 1}, (1, (2,)), {True: 1}])
def test_json_text_takes_what_json_takes(value: object) -> None:
    assert from_json(json_text(value)) == json.loads(json.dumps(value))


@dataclass
class Record:
    a: int = 1


@pytest.mark.parametrize("value", [Record(), {"a": datetime(2026, 1, 1, tzinfo=UTC)}, [{1}], b"a", object()])
def test_json_text_refuses_what_json_refuses(value: object) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_text(value)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [{"a": -float("inf")}], [None, float("nan")], {"a": (2**80, float("nan"))}]
)
def test_json_text_refuses_numbers_that_are_not_finite(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(value)


def test_what_nests_more_deeply_than_orjson_takes_is_kept() -> None:
    value: list[object] = []
    for _ in range(500):
        value = [value]
    assert from_json(json_text(value)) == value


@pytest.mark.parametrize("count", [1, 50])
def test_a_group_of_events_is_compressed_and_one_that_is_plain_is_read_as_well(count: int) -> None:
    events = [{"kind": "x", "n": number} for number in range(count)]
    plain = json.dumps(events, separators=(",", ":"))
    encoding, body = pack_body(plain.encode())
    assert (encoding, len(body) < len(plain) + 20) == (1, True)
    assert unpack_body(encoding, body) == unpack_body(0, plain.encode()) == events


def test_the_layout_counts_the_columns_of_the_schema() -> None:
    assert {name: len(table.columns) for name, table in metadata.tables.items()} == WIDTHS
