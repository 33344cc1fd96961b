"""JSON Lines, JSON and CSV: what is read, what is refused, and where."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, Row, SpecError
from themis_plugin_files.csv_file import CsvLoader
from themis_plugin_files.json_file import JsonLoader
from themis_plugin_files.jsonl_file import JsonlLoader
from themis_rows import csv_file, json_document, streams


def load(loader: DatasetLoader, path: Path, **query: Any) -> list[Row]:
    dataset = DatasetSpec(source="files/any", dataset_id=path.name)
    return list(loader.rows(dataset, DatasetQuerySpec.model_validate(query), path.parent))


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(loader: DatasetLoader, folder: Path, content: bytes) -> list[tuple[int, dict[str, Any]]]:
    """The rows, each with the line that its location ends in."""
    path = write(folder, "rows", content)
    return [(int(row.location.removeprefix(f"{path}:")), row.data) for row in load(loader, path)]


def refused(loader: DatasetLoader, folder: Path, content: bytes, name: str = "rows") -> tuple[int | None, str]:
    path = write(folder, name, content)
    with pytest.raises(SpecError) as caught:
        load(loader, path)
    assert caught.value.path == str(path)
    return caught.value.line, caught.value.message


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'{"a": 1}\n{"a": 2}\n', [(1, {"a": 1}), (2, {"a": 2})]),
        (b'{"a": 1}\n{"a": 2}', [(1, {"a": 1}), (2, {"a": 2})]),  # no line end at the end
        (b'\n  \t\n{"a": 1}\n\n{"a": 2}\n\n', [(3, {"a": 1}), (5, {"a": 2})]),  # blank lines
        (b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n', [(1, {"a": 1}), (2, {"a": 2})]),  # BOM, CRLF
        (b'{"a": "\\ud800"}', [(1, {"a": "\ud800"})]),  # a lone surrogate
        (b'{"a": "\\u0000"}', [(1, {"a": "\0"})]),
        ('{"a": "x\u2028y\x85z"}'.encode(), [(1, {"a": "x\u2028y\x85z"})]),  # line ends of Unicode are text
        (b'{"a": -0.0, "b": 1e300, "c": 123456789012345678901234567890}', None),
        (b'{"a": ' + b"[" * 199 + b"]" * 199 + b"}", None),
        (b"", []),
    ],
)
def test_jsonl_reads_these_lines(tmp_path: Path, content: bytes, rows: list[tuple[int, dict[str, Any]]] | None) -> None:
    expected = [(1, json.loads(content))] if rows is None else rows
    assert read(JsonlLoader(), tmp_path, content) == expected


GOOD = b'{"a": 1}\n'


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (GOOD * 6 + b'{"a": 1\n' + GOOD, 7, "no valid JSON: Expecting ',' delimiter (column 8)"),
        (GOOD + b"[1]\n", 2, "the row is a list, not an object"),
        (GOOD + b"null\n", 2, "the row is null, not an object"),
        (GOOD + b"7\n", 2, "the row is a number, not an object"),
        (GOOD + b'"x"\n', 2, "the row is a text, not an object"),
        (b"true", 1, "the row is a boolean, not an object"),
        (b'{"a": 1} {"a": 2}\n', 1, "no valid JSON: Extra data (column 10)"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', 1, "the key 'c' is there twice"),
        (b'{"a": NaN}', 1, "NaN is not a finite number; write null or text"),
        (b'{"a": -Infinity}', 1, "-Infinity is not a finite number; write null or text"),
        (b'{"a": 1e400}', 1, "1e400 is not a finite number; write null or text"),
        (b'{"a": ' + b"9" * 5000 + b"}", 1, "a number has too many digits"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", 1, "nested more than 200 levels deep"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 1, "nested more than 200 levels deep"),
        (b"[" * 100_000, 1, "nested more than 200 levels deep"),
        (
            GOOD + b'{"a": "caf\xe9"}\n',
            2,
            "no valid UTF-8: byte 0xe9 at position 11; convert the file to UTF-8",
        ),
        (
            b'{"a": "\xed\xa0\x80"}',
            1,
            "no valid UTF-8: byte 0xed at position 8; convert the file to UTF-8",
        ),
        (
            b'[\n{"a": 1}\n]\n',
            1,
            (
                "no valid JSON: Expecting value (column 2); "
                "a JSON document over several lines is not JSON Lines: read it as JSON"
            ),
        ),
    ],
)
def test_jsonl_refuses_these_lines(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    assert refused(JsonlLoader(), tmp_path, content) == (line, message)


def test_a_document_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = b'{"data": [{"a": "x", "b": [1, {"c": null}]}], "n": 1}'
    for end in range(1, len(whole)):
        line, _ = refused(JsonLoader(rows_path="data"), tmp_path, whole[:end])
        assert line == 1
        line, _ = refused(JsonlLoader(), tmp_path, whole[:end])
        assert line == 1


@pytest.mark.parametrize(
    ("rows_path", "content", "rows"),
    [
        (None, b'[{"a": 1},\n\n {"a":\n 2}, {"a": 3}]\n', [(1, {"a": 1}), (3, {"a": 2}), (4, {"a": 3})]),
        (None, b"\xef\xbb\xbf []", []),
        ("data", b'{"x": {"data": 1},\n"data": [\n{"a": 1}\n], "y": [[]]}', [(3, {"a": 1})]),
        ("a.b", b'{"a": {"c": 1, "b": [{"k": []}], "d": 2}, "b": 3}', [(1, {"k": []})]),
    ],
)
def test_json_reads_these_documents(
    tmp_path: Path, rows_path: str | None, content: bytes, rows: list[tuple[int, dict[str, Any]]]
) -> None:
    # Two rows on one line have the same location, which still says where to look.
    assert read(JsonLoader(rows_path=rows_path), tmp_path, content) == rows


@pytest.mark.parametrize(
    ("rows_path", "content", "line", "message"),
    [
        (None, b'[{"a": 1},\n2]', 2, "the row is a number, not an object"),
        (None, b'[{"a": 1},\n{"a": 1, "a": 2}]', 1, "the row at or after this line: the key 'a' is there twice"),
        (
            None,
            b'[{"a": 1},\n{"a": NaN}]',
            1,
            ("the row at or after this line: NaN is not a finite number; write null or text"),
        ),
        (None, b'[{"a": 1}\n{"a": 2}]', 2, "no valid JSON: Expecting ',' delimiter (column 1)"),
        (None, b'[{"a": 1},]', 1, "no valid JSON: Expecting value (column 11)"),
        (None, b'[{"a": 1}\n', 2, "no valid JSON: Expecting ',' delimiter (column 1)"),
        (
            None,
            b"[]\n[]",
            2,
            "no valid JSON: Extra data (column 1); one object per line is JSON Lines: read it as such",
        ),
        (
            None,
            b'{"rows": [], "n": 1}',
            1,
            "the document is an object, not a list of objects; name the list of rows by rows_path: rows",
        ),
        (None, b"", 1, "no valid JSON: Expecting value (column 1)"),
        (None, b'[{"a":\n"\xff"}]', 2, "no valid UTF-8: byte 0xff at position 2; convert the file to UTF-8"),
        (None, b"[" + b"[" * 100_000, 1, "the row at or after this line: nested more than 200 levels deep"),
        ("data", b'{"dat": [],\n"x": 1}', 1, "rows_path: no key 'data' here; there are: dat, x"),
        ("data.rows", b'{"data":\n[]}', 2, "rows_path looks for the key 'rows', but at 'data' is a list"),
        ("data", b"[]", 1, "rows_path looks for the key 'data', but at the top is a list"),
        ("data", b'{"data": 1}', 1, "at 'data' is a number, not a list of objects"),
        ("data", b'{"data": [],\n"data": []}', 2, "the key 'data' is there twice"),
        ("data", b'{"data": [] "x": 1}', 1, "no valid JSON: Expecting ',' delimiter (column 13)"),
        ("data", b"{data: []}", 1, "no valid JSON: Expecting property name enclosed in double quotes (column 2)"),
        ("data", b'{"data" []}', 1, "no valid JSON: Expecting ':' delimiter (column 9)"),
        ("data", b'{"data": [],}', 1, "no valid JSON: Expecting property name enclosed in double quotes (column 13)"),
    ],
)
def test_json_refuses_these_documents(
    tmp_path: Path, rows_path: str | None, content: bytes, line: int, message: str
) -> None:
    assert refused(JsonLoader(rows_path=rows_path), tmp_path, content) == (line, message)


@pytest.mark.parametrize(
    ("config", "content", "rows"),
    [
        ({}, b"a,b\n1,x\n", [(2, {"a": "1", "b": "x"})]),
        ({}, b"\xef\xbb\xbfa,b\r\n 01 ,\r\n", [(2, {"a": " 01 ", "b": ""})]),  # values stay as they are
        ({}, b'a,b\n"x\ny","say ""hi"""\n3,4\n', [(2, {"a": "x\ny", "b": 'say "hi"'}), (4, {"a": "3", "b": "4"})]),
        ({}, b"a,b\n\n1,2\n\n\n3,4", [(3, {"a": "1", "b": "2"}), (6, {"a": "3", "b": "4"})]),  # empty lines
        ({}, b"a\n\x00\n", [(2, {"a": "\0"})]),
        ({}, b"a\n" + b"x" * 200_000, [(2, {"a": "x" * 200_000})]),  # beyond the csv module's own limit
        ({}, b",a\n0,x\n", [(2, {"": "0", "a": "x"})]),  # an index column without a name
        ({"delimiter": "\t", "quotechar": None}, b'a\tb\n"1\t2\n', [(2, {"a": '"1', "b": "2"})]),
        ({"delimiter": ";", "quotechar": "'"}, b"a;b\n'1;2';3\n", [(2, {"a": "1;2", "b": "3"})]),
        ({"columns": ["a", "b"]}, b"1,2\n", [(1, {"a": "1", "b": "2"})]),
        ({"encoding": "cp1252"}, b"a\ncaf\xe9\n", [(2, {"a": "café"})]),
        ({"encoding": "UTF8"}, "a\ncafé\n".encode(), [(2, {"a": "café"})]),
        ({"encoding": "utf-8-sig"}, b"\xef\xbb\xbfa\nx\n", [(2, {"a": "x"})]),
    ],
)
def test_csv_reads_these_files(
    tmp_path: Path, config: dict[str, Any], content: bytes, rows: list[tuple[int, dict[str, Any]]]
) -> None:
    assert read(CsvLoader(**config), tmp_path, content) == rows


@pytest.mark.parametrize(
    ("config", "content", "line", "message"),
    [
        ({}, b"a,b\n1,2\n3\n", 3, "the row has 1 cell, and the header 2 columns"),
        ({}, b'a,b\n"x\ny",2\n3,4,5\n', 4, "the row has 3 cells, and the header 2 columns"),
        ({}, b"a,b,a\n1,2,3\n", 1, "the column 'a' is there twice"),
        ({}, b"", None, "the file is empty; a header line was expected"),
        ({}, b'a,b\n1,2\n"x,\n3,4\n', 3, "no valid CSV: a quoted cell that starts in this row is never closed"),
        ({}, b'a,b\n"x"y,2\n', 2, "no valid CSV: ',' expected after '\"'"),
        (
            {},
            b"a,b\r1,2\r3,4",
            1,
            ("no valid CSV: a carriage return stands alone; convert the line ends, or quote the cell"),
        ),
        ({}, b"a\nx\n\xff\n", 3, "no valid UTF-8: byte 0xff at position 1; convert the file to UTF-8"),
        ({"encoding": "cp1252"}, b"a\nx\x81\n", 2, "no valid cp1252: byte 0x81 at position 2"),
    ],
)
def test_csv_refuses_these_files(
    tmp_path: Path, config: dict[str, Any], content: bytes, line: int | None, message: str
) -> None:
    assert refused(CsvLoader(**config), tmp_path, content) == (line, message)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"encoding": "utf-16"}, "does not extend ASCII"),
        ({"encoding": "klingon"}, "is no known character encoding"),
        ({"delimiter": ",,"}, "at most 1 character"),
        ({"delimiter": "\n"}, "two characters that are no line ends|bad delimiter"),
        ({"delimiter": '"'}, "two characters that are no line ends|bad delimiter"),
        ({"columns": ["a", "a"]}, "'a' is there twice"),
    ],
)
def test_csv_refuses_these_dialects(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CsvLoader(**config)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_give_the_rows_of_plain_ones(tmp_path: Path, suffix: str) -> None:
    plain = b"".join(b'{"id": %d, "text": "%s"}\n' % (number, b"x" * number) for number in range(500))
    pack = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor(write_checksum=True).compress
    # Two frames in one file, as `cat a.gz b.gz` makes them.
    path = write(tmp_path, f"rows.jsonl{suffix}", pack(plain[:7000]) + pack(plain[7000:]))
    assert [row.data for row in load(JsonlLoader(), path)] == [json.loads(line) for line in plain.splitlines()]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    plain = b"".join(b'{"id": %d}\n' % number for number in range(50_000))
    for checksum in (True, False):
        pack = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor(write_checksum=checksum).compress
        whole = pack(plain)
        for end in (1, 7, 12, 40, len(whole) // 2, len(whole) - 5, len(whole) - 1):
            _, message = refused(JsonlLoader(), tmp_path, whole[:end], f"rows.jsonl{suffix}")
            assert message.startswith("can't be read: ")


def test_a_zstandard_file_may_have_skippable_frames_and_repeated_blocks(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"abcde"
    body = zstandard.compress(b'{"a": "' + b"x" * 1_000_000 + b'"}\n')
    path = write(tmp_path, "rows.jsonl.zst", skippable + body + skippable)
    assert [len(row.data["a"]) for row in load(JsonlLoader(), path)] == [1_000_000]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_what_is_not_compressed_is_refused_by_its_suffix(tmp_path: Path, suffix: str) -> None:
    _, message = refused(JsonlLoader(), tmp_path, b'{"a": 1}\n' * 9, f"rows.jsonl{suffix}")
    assert message.startswith("can't be read: ")


def test_a_bomb_of_one_line_costs_no_more_memory_than_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_LINE", 2**20)
    bomb = gzip.compress(b'{"a": 1}\n{"a": "' + b"x" * 50 * 2**20)
    assert len(bomb) < 100_000
    line, message = refused(JsonlLoader(), tmp_path, bomb, "rows.jsonl.gz")
    assert (line, message) == (2, "the line has more than 1 MiB; is this a file of lines?")


def test_a_csv_cell_has_a_bound_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = csv_file.csv.field_size_limit(1000)
    monkeypatch.setattr(csv_file, "MAX_LINE", 1000)
    try:
        line, message = refused(CsvLoader(), tmp_path, b'a,b\n1,"' + b"x\n" * 2000)
    finally:
        csv_file.csv.field_size_limit(before)
    assert line == 2
    assert message.endswith("is a quotation mark not closed?")


def test_a_document_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "MAX_DOCUMENT", 2**20)
    _, message = refused(JsonLoader(), tmp_path, gzip.compress(b" " * 2**21), "rows.json.gz")
    assert message == "the document has more than 1 MiB: convert it to JSON Lines"
