"""Parquet: types, refusals, and what is pushed down."""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from themis_core import DatasetQuerySpec, DatasetSpec, Row, SpecError
from themis_plugin_files.parquet_file import ParquetLoader


def load(loader: ParquetLoader, path: Path, fields: dict[str, Any] | None = None, **query: Any) -> list[Row]:
    dataset = DatasetSpec.model_validate({"source": "files/parquet", "dataset_id": path.name, "fields": fields or {}})
    return list(loader.rows(dataset, DatasetQuerySpec.model_validate(query), path.parent))


def write(folder: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, folder / "rows.parquet", **options)
    return folder / "rows.parquet"


UTC = datetime.UTC
MOMENT = datetime.datetime.fromisoformat("2026-01-31T12:00:00.250000")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (pa.string(), "x\0y", "x\0y"),
        (pa.large_string(), "x", "x"),
        (pa.int64(), -(2**63), -(2**63)),
        (pa.uint64(), 2**64 - 1, 2**64 - 1),
        (pa.bool_(), True, True),
        (pa.float64(), 0.1, 0.1),
        (pa.float16(), 0.5, 0.5),
        (pa.null(), None, None),
        (pa.decimal128(10, 2), decimal.Decimal("12.50"), "12.50"),
        (pa.decimal128(10, 8), decimal.Decimal("0.00000001"), "0.00000001"),
        (pa.date32(), datetime.date(2026, 1, 31), "2026-01-31"),
        (pa.time64("us"), datetime.time(1, 2, 3), "01:02:03"),
        (pa.timestamp("us"), MOMENT, "2026-01-31T12:00:00.250000"),
        (pa.timestamp("ms", tz="UTC"), MOMENT.replace(tzinfo=UTC), "2026-01-31T12:00:00.250000+00:00"),
        (pa.timestamp("ns"), 1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001"),
        (pa.duration("ms"), datetime.timedelta(milliseconds=-1500), "-PT1.5S"),
        (pa.duration("s"), datetime.timedelta(days=2), "PT172800S"),
        (pa.list_(pa.date32()), [datetime.date(2026, 1, 31), None], ["2026-01-31", None]),
        (pa.list_(pa.int8(), 2), [1, 2], [1, 2]),
        (
            pa.struct({"a": pa.int8(), "b": pa.list_(pa.float32())}),
            {"a": 1, "b": [0.5]},
            {"a": 1, "b": [0.5]},
        ),
        (pa.map_(pa.string(), pa.date32()), [("k", datetime.date(2026, 1, 31))], {"k": "2026-01-31"}),
        (pa.map_(pa.string(), pa.int8()), [], {}),
        (pa.dictionary(pa.int8(), pa.string()), "x", "x"),
        (pa.uuid(), uuid.UUID(int=7).bytes, "00000000-0000-0000-0000-000000000007"),
    ],
    ids=str,
)
def test_values_become_json_without_loss(tmp_path: Path, kind: Any, value: Any, expected: Any) -> None:
    path = write(tmp_path, pa.table({"v": pa.array([value, None], kind)}))
    assert load(ParquetLoader(), path) == [
        Row({"v": expected}, f"{path}:row 1"),
        Row({"v": None}, f"{path}:row 2"),
    ]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pa.array([b"x"]),
            (
                "the column 'v' holds values of type binary, which JSON can't hold; leave it out: "
                "name the others in extras.columns"
            ),
        ),
        (
            pa.array([1], pa.time64("ns")),
            (
                "the column 'v' holds values of type time64[ns], which Python can't hold "
                "in full; leave it out: name the others in extras.columns"
            ),
        ),
        (
            pa.array([[b"x"]]),
            (
                "the column 'v' holds values of type binary, which JSON can't hold; leave it out: "
                "name the others in extras.columns"
            ),
        ),
        (
            pa.array([[(1, 2)]], pa.map_(pa.int8(), pa.int8())),
            (
                "the column 'v' holds values of type map<int8, int8 "
                "('v')>: "
                "a JSON object has text keys; leave it out: name the others in extras.columns"
            ),
        ),
        (
            pa.array([1.0, float("nan")]),
            ("row 2: the column 'v' holds nan, which is no finite number (`nan: null` in extras reads it as null)"),
        ),
        (
            pa.array([1.0, None, float("-inf")]),
            ("row 3: the column 'v' holds -inf, which is no finite number (`nan: null` in extras reads it as null)"),
        ),
        (
            pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8())),
            ("row 1: the column 'v' holds a map with a key that is there twice"),
        ),
    ],
    ids=str,
)
def test_what_json_can_not_hold_is_refused(tmp_path: Path, column: Any, message: str) -> None:
    path = write(tmp_path, pa.table({"v": column}))
    with pytest.raises(SpecError) as caught:
        load(ParquetLoader(), path)
    assert (caught.value.path, caught.value.message) == (str(path), message)


def test_a_text_that_is_no_utf8_names_its_row(tmp_path: Path) -> None:
    broken = pa.array([b"x", b"\xff"]).view(pa.string())
    path = write(tmp_path, pa.table({"v": broken}))
    with pytest.raises(SpecError, match=r"row 2: .*utf-8"):
        load(ParquetLoader(), path)


def test_nan_may_be_read_as_null(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"v": [0.5, float("nan"), float("inf"), None]}))
    rows = load(ParquetLoader(nan="null"), path)
    assert [row.data["v"] for row in rows] == [0.5, None, None, None]


def test_columns_of_bytes_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"image": [b"x"], "q": ["a"], "n": [1]}))
    assert [row.data for row in load(ParquetLoader(columns=["n", "q"]), path)] == [{"q": "a", "n": 1}]
    with pytest.raises(SpecError, match="no column 'p'; there are: image, q, n"):
        load(ParquetLoader(columns=["p"]), path)


def test_projected_fields_read_only_the_columns_that_matter(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "q": ["?"], "gold": [1], "topic": ["t"], "image": [b"x"], "deep": [{"k": 1}]})
    path = write(tmp_path, table)
    fields = {"id": "id", "reference": "gold", "metadata": ["deep.k"]}
    rows = load(ParquetLoader(), path, fields, projected_fields=["q"])
    assert [row.data for row in rows] == [{"id": "a", "q": "?", "gold": 1, "deep": {"k": 1}}]
    # Without an id column the id is a digest of the whole row, so all columns are read.
    with pytest.raises(SpecError, match="'image' holds"):
        load(ParquetLoader(), path, {"id": "key"}, projected_fields=["q"])


def test_rows_keep_their_numbers_when_others_are_left_out(tmp_path: Path) -> None:
    count = 5000
    table = pa.table({"id": [f"i{n}" for n in range(count)], "n": list(range(count))})
    path = write(tmp_path, table, row_group_size=1500)
    wanted = ["i0", "i1499", "i1500", "i4999"]
    rows = load(ParquetLoader(), path, {"id": "id"}, item_ids=wanted)
    assert [(row.data, row.location) for row in rows] == [
        ({"id": each, "n": int(each[1:])}, f"{path}:row {int(each[1:]) + 1}") for each in wanted
    ]
    assert len(load(ParquetLoader(), path)) == count


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all, but long enough to be one, perhaps"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load(ParquetLoader(), path)
    assert caught.value.path == str(path)
    assert caught.value.message.startswith("can't be read after row 0: ")
