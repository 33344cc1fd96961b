"""Tables of what is stored, as JSONL, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from made_store import HOSTILE, LONG, RUNS, fill
from pyarrow import parquet

from themis_core import Extraction, Item, ItemRecorded, Score, SpecError, Store
from themis_core.testing.events import key_of, run_started, score_entry, trial_finished
from themis_core.testing.memory import MemoryStore
from themis_output import CannotWrite, atomic_output
from themis_plugin_interop.tables import (
    TABLES,
    Column,
    columns_of,
    table_rows,
    write_csv,
    write_jsonl,
    write_parquet,
)


@pytest.fixture
def store() -> Store:
    store = MemoryStore()
    fill(store)
    return store


def jsonl(store: Store, table: str, *run_ids: str) -> list[dict[str, Any]]:
    file = io.StringIO()
    count = write_jsonl(table_rows(store, table, run_ids), TABLES[table], file)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(rows) == count
    assert all(list(row) == [column.name for column in TABLES[table]] for row in rows)
    return rows


def test_trials_have_a_row_each_with_the_answer_that_was_scored(store: Store) -> None:
    rows = jsonl(store, "trials", *RUNS)
    columns = ("run_id", "slice_id", "item_id", "outcome", "generation_key", "answer", "output_tokens")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        (RUNS[0], "test", "1", "answered", key_of("follow-up"), "", None),
        (RUNS[0], "test", "2", "answered", key_of("2"), HOSTILE, 4),
        (RUNS[1], "other\0slice", "2", "answered", key_of("2"), HOSTILE, 4),
    ]


def test_scores_have_a_row_each(store: Store) -> None:
    rows = jsonl(store, "scores", RUNS[0])
    columns = ("run_id", "item_id", "metric", "value", "reason", "parsed", "parse_reason", "parts")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        (RUNS[0], "1", "match", 0.5, None, True, None, [1.0, 2.0]),
        (RUNS[0], "2", "match", 0.5, None, True, None, [1.0, 2.0]),
        (RUNS[0], "2", "match", 0.0, None, False, "no_match", []),
        (RUNS[0], "1", "raw", 1.0, None, None, None, []),
    ]


def test_scores_have_what_was_found_and_what_results_are_grouped_by_as_columns(tmp_path: Path) -> None:
    store = MemoryStore()
    slices = [{"dataset": {"fields": {"metadata": ["topic"]}}}]
    manifest = {"benchmark": {"slices": slices}, "dimensions": {"test": {"subject": "sums"}, "other": {}}}
    item = Item("1", {}, metadata={"topic": ["a", 1]}, digest=key_of("item 1"))
    score = score_entry("1", Score(0.5, details={"why": HOSTILE}), extraction=Extraction({"found": LONG}))
    raw = score_entry("2", parse=None, extraction=None, metric="raw")
    params = 'temperature=0.5, stop=["a, b=1"]'
    store.append(
        [
            run_started(manifest=manifest),
            ItemRecorded(item),
            trial_finished("1", params=params, scores=(score, raw)),
            trial_finished("2", slice_id="other", params="default", scores=(score,)),
        ]
    )
    for table in ("scores", "trials"):
        further = [column.name for column in columns_of(store, table, ["run"])][len(TABLES[table]) :]
        assert further == ["dimensions.subject", "metadata.topic", "params.temperature", "params.stop"]
        assert [[row.get(name) for name in further] for row in table_rows(store, table, ["run"])] == [
            [None] * 4,
            *[["sums", ["a", 1], "0.5", '["a, b=1"]']] * (2 if table == "scores" else 1),
        ]
    rows = list(table_rows(store, "scores", ["run"]))
    assert [(row["extracted"], row["details"]) for row in rows] == [
        ({"found": LONG}, {"why": HOSTILE}),
        ({"found": LONG}, {"why": HOSTILE}),
        (None, None),
    ]
    assert columns_of(store, "items", ["run"]) == TABLES["items"]


def test_generations_have_a_row_for_each_turn_and_each_reply_of_a_judge(store: Store) -> None:
    rows = jsonl(store, "generations", RUNS[0])
    columns = ("trial_id", "role", "turn", "score", "generation_key", "status", "answer")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        (key_of("trial 1"), "model", 0, None, key_of("1"), "truncated", "A: 3,000"),
        (key_of("trial 1"), "model", 1, None, key_of("follow-up"), "refused", ""),
        (key_of("trial 1"), "judge", 0, "accuracy", key_of("judge"), "answered", LONG),
        (key_of("trial 2"), "model", 0, None, key_of("2"), "answered", HOSTILE),
        (key_of("trial 2"), "judge", 0, "accuracy", key_of("judge"), "answered", LONG),
    ]
    assert rows[0]["cached_input_tokens"] == 2**70
    assert rows[0]["messages"] == [{"role": "user", "content": "How many?"}]


def test_items_have_one_row_however_many_trials_they_have(store: Store) -> None:
    rows = jsonl(store, "items", *RUNS)
    assert [(row["item_id"], row["fields"]) for row in sorted(rows, key=lambda row: str(row["item_id"]))] == [
        ("1", {"question": "How many?"}),
        ("2", {"question": HOSTILE}),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("text", "plain", "plain"),
        ("text", "=1+1", "'=1+1"),
        ("text", "=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
        ("text", "+1+1", "'+1+1"),
        ("text", "-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("text", "@SUM(A1)", "'@SUM(A1)"),
        ("text", "\t=1", "'\t=1"),
        ("text", "\r=1", "'\r=1"),
        ("text", "  =1", "'  =1"),
        ("text", "＝1+1", "'＝1+1"),
        ("text", "-5", "-5"),  # a number is no formula
        ("text", "+1.5e-3", "+1.5e-3"),
        ("text", "-5\n=1", "'-5\n=1"),
        ("text", "a,b \"c\"\nd", "a,b \"c\"\nd"),
        ("text", "a=1", "a=1"),
        ("text", "a\0b\ud83d", "a␀b\ufffd\ufffd\ufffd"),
        ("number", -0.5, "-0.5"),
        ("number", 1e-300, "1e-300"),
        ("integer", -3, "-3"),
        ("integer", 2**70, str(2**70)),
        ("boolean", True, "1"),
        ("json", {"a": "=1"}, '{"a":"=1"}'),
        ("json", "=1", '"=1"'),
        ("json", -5, "-5"),
        ("text", None, ""),
    ],
)  # fmt: skip
def test_a_cell_of_csv_is_no_formula_and_a_number_stays_one(kind: Any, value: Any, cell: str) -> None:
    file = io.StringIO(newline="")
    write_csv([{"x": value, "y": 1}], [Column("x", kind), Column("y", "integer")], file)
    assert list(csv.reader(io.StringIO(file.getvalue(), newline=""))) == [["x", "y"], [cell, "1"]]
    file.getvalue().encode()


@pytest.mark.parametrize("table", [name for name in TABLES if name != "generations"])
def test_parquet_holds_the_same_rows(store: Store, tmp_path: Path, table: str) -> None:
    path = tmp_path / "table.parquet"
    count = write_parquet(table_rows(store, table, RUNS), TABLES[table], path)
    found = parquet.read_table(path).to_pylist()
    assert len(found) == count
    kinds = {column.name: column.kind for column in TABLES[table]}

    def shown(name: str, value: Any) -> Any:
        if value is None or kinds[name] in ("integer", "number", "boolean"):
            return value
        if kinds[name] == "json":
            return json.loads(json.dumps(value))
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")

    wanted = [{name: shown(name, value) for name, value in row.items()} for row in jsonl(store, table, *RUNS)]
    read = [
        {
            name: json.loads(value) if kinds[name] == "json" and value is not None else value
            for name, value in row.items()
        }
        for row in found
    ]
    assert read == wanted


def test_parquet_says_which_number_is_too_large_for_it_and_leaves_no_file(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"as before")
    message = f"cached_input_tokens {2**70} has more than 64 bits.*export as jsonl"
    with pytest.raises(SpecError, match=message), atomic_output(path) as part:
        write_parquet(table_rows(store, "generations", RUNS), TABLES["generations"], part)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"table.parquet": b"as before"}


def test_parquet_says_which_package_is_missing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SpecError, match="pip install pyarrow"):
        write_parquet(table_rows(store, "trials", RUNS), TABLES["trials"], tmp_path / "x")


def test_a_folder_that_can_not_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "out.csv"
    with pytest.raises(CannotWrite, match=r"can't write .*out\.csv: No such file"), atomic_output(target) as part:
        part.write_text("x")
