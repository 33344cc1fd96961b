"""What the plugins that read files share; what each makes of it is tested with the plugin."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from themis_core import SpecError
from themis_rows import DECODER, NAN_IS_NULL, NAN_STAYS, csv_rows, json_rows, jsonl_rows, matching_files

Rows = Callable[[Path], Iterator[tuple[int, dict[str, Any]]]]


def test_the_example_in_the_readme_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], "README.md", "exec"), {})


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (jsonl_rows, b'\xef\xbb\xbf{"id": "1", "a": "x"}\r\n\n{"id": "2", "a": "y\xe2\x80\xa8"}'),
        (json_rows, b'\xef\xbb\xbf[{"id": "1", "a": "x"},\n\n{"id": "2", "a": "y\xe2\x80\xa8"}]'),
        (csv_rows, b"\xef\xbb\xbfid,a\r\n1,x\r\n2,y\xe2\x80\xa8"),
    ],
)
def test_each_format_gives_the_same_rows_each_with_its_line(tmp_path: Path, read: Rows, content: bytes) -> None:
    (tmp_path / "rows").write_bytes(content)
    lines = (2, 3) if read is csv_rows else (1, 3)
    rows = [{"id": "1", "a": "x"}, {"id": "2", "a": "y\u2028"}]
    assert list(read(tmp_path / "rows")) == list(zip(lines, rows, strict=True))


@pytest.mark.parametrize(
    ("read", "content", "line", "message"),
    [
        (csv_rows, b"", None, "the file is empty; a header line was expected"),
        (csv_rows, b"a,b\n\n1\n", 3, "the row has 1 cell, and the header 2 columns"),
        (json_rows, b'[{"a": 1}, {"a": 1, "a": 2}]', 1, "the row at or after this line: the key 'a' is there twice"),
        (
            json_rows,
            b'{"data": [{}]}',
            1,
            "the document is an object, not a list of objects; name the list of rows by rows_path: data",
        ),
        (jsonl_rows, b"{}\n{\n}", 2, None),
        (jsonl_rows, b"{}\n\n[]", 3, "the row is a list, not an object"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(
    tmp_path: Path, read: Rows, content: bytes, line: int | None, message: str | None
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(SpecError) as raised:
        list(read(path))
    assert (raised.value.path, raised.value.line) == (str(path), line)
    if message is None:
        assert raised.value.message.endswith("; a JSON document over several lines is not JSON Lines: read it as JSON")
    else:
        assert raised.value.message == message


def test_what_is_no_finite_number_is_refused_null_or_left(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('{"a": NaN}')
    with pytest.raises(SpecError, match="NaN is not a finite number"):
        list(jsonl_rows(tmp_path / "rows", DECODER))
    assert list(jsonl_rows(tmp_path / "rows", NAN_IS_NULL)) == [(1, {"a": None})]
    [(_, row)] = jsonl_rows(tmp_path / "rows", NAN_STAYS)
    assert math.isnan(row["a"])


@pytest.mark.parametrize(
    ("written", "name", "found"),
    [
        ("{x}.csv", "a", ["a.csv"]),
        ("{x}*.csv", "a", ["a.csv", "ab.csv"]),
        ("{x}*.csv", "*", []),
        ("{x}*.csv", "[a]", ["[a]b.csv"]),
        ("[a].csv", "", ["a.csv"]),
        ("[a]b.csv", "", ["[a]b.csv"]),
    ],
)
def test_what_is_put_in_a_path_is_no_pattern_and_a_name_that_exists_means_itself(
    tmp_path: Path, written: str, name: str, found: list[str]
) -> None:
    for each in ("a.csv", "ab.csv", "[a]b.csv"):
        (tmp_path / each).touch()
    if found:
        assert [path.name for path in matching_files(written, tmp_path, {"{x}": name})] == found
    else:
        with pytest.raises(SpecError, match="no file matches this pattern"):
            matching_files(written, tmp_path, {"{x}": name})
