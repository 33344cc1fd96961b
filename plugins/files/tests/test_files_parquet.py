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


JSON_CELLS = [
    ('{"a":1,"b":[1,"x"]}', {"a": 1, "b": [1, "x"]}),
    ('"text"', "text"),
    ('""', ""),
    ("5", 5),
    ("0.5", 0.5),
    ("true", True),
    ("null", None),
    ("[]", []),
    ('[{"k":[null]}]', [{"k": [None]}]),
    ('{"\\u00e9":"\\ud800"}', {"é": "\ud800"}),
    ("12345678901234567890123", 12345678901234567890123),
]


@pytest.mark.parametrize(("text", "expected"), JSON_CELLS, ids=ascii)
def test_json_columns_are_what_their_json_says(tmp_path: Path, text: str, expected: Any) -> None:
    kind = pa.json_()
    table = pa.table(
        {
            "v": pa.array([text, None], kind),
            "many": pa.ListArray.from_arrays([0, 2, 2], pa.array([text, text], kind)),
            "deep": pa.StructArray.from_arrays([pa.array([text, None], kind)], ["k"], mask=pa.array([False, True])),
        }
    )
    first, second = load(ParquetLoader(), write(tmp_path, table))
    assert first.data == {"v": expected, "many": [expected, expected], "deep": {"k": expected}}
    assert second.data == {"v": None, "many": [], "deep": None}


def test_the_json_columns_that_datasets_writes_come_back(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    values = [{"a": 1, "b": [1, "x"]}, "text", [1, {"c": None}], None, 7]
    features = datasets.Features({"id": datasets.Value("string"), "args": datasets.Json(),
                                  "calls": datasets.List(datasets.Json())})  # fmt: skip
    rows = {"id": list("abcde"), "args": values, "calls": [[each] for each in values]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "rows.parquet")
    found = load(ParquetLoader(), tmp_path / "rows.parquet")
    assert [row.data["args"] for row in found] == values
    assert [row.data["calls"] for row in found] == [[each] for each in values]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no valid JSON: "),
        ("", "no valid JSON: "),
        ('{"a":1,"a":2}', "the key 'a' is there twice"),
        ("NaN", "NaN is not a finite number"),
        ("[1e999]", "1e999 is not a finite number"),
        ("[" * 300 + "]" * 300, "nested more than 200 levels deep"),
    ],
    ids=lambda each: each[:12],
)
def test_a_json_cell_in_doubt_names_its_row(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, pa.table({"v": pa.array(["1", text], pa.json_())}))
    with pytest.raises(SpecError) as caught:
        load(ParquetLoader(), path)
    assert caught.value.message.startswith(f"row 2: the column 'v' holds {said}")


def test_nan_in_a_json_cell_may_be_read_as_null(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"v": pa.array(["[NaN, 1e999, 2.5]"], pa.json_())}))
    assert [row.data["v"] for row in load(ParquetLoader(nan="null"), path)] == [[None, None, 2.5]]


def test_a_filter_sees_what_the_json_says(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "topic": pa.array(['"x"', '"y"'], pa.json_())})
    # The loader leaves the choice to the core: the stored text, with its quotation marks, tells nothing.
    rows = load(ParquetLoader(), write(tmp_path, table), {"id": "id"}, filters={"topic": "x"})
    assert [row.data for row in rows] == [{"id": "a", "topic": "x"}, {"id": "b", "topic": "y"}]
