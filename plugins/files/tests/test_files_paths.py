"""Which files a dataset id means, what pins them, and rows that are in the spec."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, SpecError
from themis_plugin_files.csv_file import CsvLoader
from themis_plugin_files.inline import InlineLoader
from themis_plugin_files.json_file import JsonLoader
from themis_plugin_files.jsonl_file import JsonlLoader
from themis_plugin_files.parquet_file import ParquetLoader


def ids(base_dir: Path, dataset_id: str, **dataset: Any) -> list[Any]:
    spec = DatasetSpec(source="files/jsonl", dataset_id=dataset_id, **dataset)
    return [row.data["id"] for row in JsonlLoader().rows(spec, DatasetQuerySpec(), base_dir)]


def problem(base_dir: Path, dataset_id: str, **dataset: Any) -> str:
    with pytest.raises(SpecError) as caught:
        ids(base_dir, dataset_id, **dataset)
    return str(caught.value).replace(str(base_dir), "BASE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    for name in ("test.jsonl", "train.jsonl", "part[1].jsonl", "deep/more.jsonl"):
        (tmp_path / "data" / name).write_text(f'{{"id": "{name}"}}\n')
    return tmp_path


@pytest.mark.parametrize(
    ("dataset_id", "split", "found"),
    [
        ("data/test.jsonl", None, ["test.jsonl"]),
        ("data/test.jsonl", "anything", ["test.jsonl"]),
        ("data/{split}.jsonl", "train", ["train.jsonl"]),
        ("data/t*.jsonl", None, ["test.jsonl", "train.jsonl"]),
        ("data/**/*r*.jsonl", None, ["deep/more.jsonl", "part[1].jsonl", "train.jsonl"]),
        ("data/part[1].jsonl", None, ["part[1].jsonl"]),  # a name that exists is no pattern
        ("data/[tp]*[!]]*.jsonl", None, ["part[1].jsonl", "test.jsonl", "train.jsonl"]),
        ("{base}/data/test.jsonl", None, ["test.jsonl"]),
        ("{base}/data/te*.jsonl", None, ["test.jsonl"]),
        ("~/data/test.jsonl", None, ["test.jsonl"]),
    ],
)
def test_a_dataset_id_is_a_path_or_a_pattern(
    folder: Path, monkeypatch: pytest.MonkeyPatch, dataset_id: str, split: str | None, found: list[str]
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert ids(folder, dataset_id.replace("{base}", str(folder)), split=split) == found


@pytest.mark.parametrize("loader", [JsonlLoader(), CsvLoader(), ParquetLoader(), JsonLoader()], ids=type)
@pytest.mark.parametrize("name", ["revision", "config_name"])
def test_what_a_file_does_not_have_is_refused(folder: Path, loader: DatasetLoader, name: str) -> None:
    dataset = DatasetSpec.model_validate({"source": "files/any", "dataset_id": "data/test.jsonl", name: "v1"})
    with pytest.raises(SpecError, match=f"{name}: files/any reads what is there, and has none to choose: leave it out"):
        list(loader.rows(dataset, DatasetQuerySpec(), folder))


@pytest.mark.parametrize("name", ["revision", "config_name"])
def test_rows_of_a_spec_have_no_revision(folder: Path, name: str) -> None:
    dataset = DatasetSpec.model_validate({"source": "files/inline", name: "main"})
    loader = InlineLoader.model_validate({"rows": [{"id": 1}]})
    with pytest.raises(SpecError, match=f"{name}: files/inline reads what is there"):
        list(loader.rows(dataset, DatasetQuerySpec(), folder))


@pytest.mark.parametrize(
    ("dataset_id", "message"),
    [
        ("data/tset.jsonl", "BASE/data/tset.jsonl: no such file. Did you mean 'BASE/data/test.jsonl'?"),
        ("data/zzz", "BASE/data/zzz: no such file"),
        ("dta/test.jsonl", "BASE/dta/test.jsonl: no such file; the folder BASE/dta does not exist"),
        ("data", "BASE/data: this is a folder: name its files, such as data/*"),
        ("data/*.csv", "BASE/data/*.csv: no file matches this pattern"),
        ("data/dee*", "BASE/data/dee*: no file matches this pattern"),
        ("data/{split}.jsonl", "dataset_id 'data/{split}.jsonl' has a place for the split, but split is not given"),
        ("", "dataset_id is empty: give the path of a file, relative to the spec file"),
        ("/dev/null", "/dev/null: this is no regular file"),
    ],
)
def test_a_dataset_that_is_not_there_is_named(folder: Path, dataset_id: str, message: str) -> None:
    assert problem(folder, dataset_id) == message


def test_locations_are_relative_to_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    spec = DatasetSpec(source="files/jsonl", dataset_id="test.jsonl")
    (row,) = JsonlLoader().rows(spec, DatasetQuerySpec(), folder / "data")
    assert row.location == "data/test.jsonl:1"


def test_a_pattern_does_not_reach_into_the_name_of_the_base_folder(tmp_path: Path) -> None:
    base = tmp_path / "run[1]"
    base.mkdir()
    (base / "a.jsonl").write_text('{"id": 1}\n')
    assert ids(base, "*.jsonl") == [1]


def test_the_fingerprint_is_size_and_hash_of_each_file(folder: Path) -> None:
    spec = DatasetSpec(source="files/jsonl", dataset_id="data/t*.jsonl")
    assert JsonlLoader().fingerprint(spec, folder) == {
        "files": [
            {
                "path": f"data/{name}",
                "size": (folder / "data" / name).stat().st_size,
                "sha256": hashlib.sha256((folder / "data" / name).read_bytes()).hexdigest(),
            }
            for name in ("test.jsonl", "train.jsonl")
        ]
    }


def test_only_columns_that_nothing_changes_rule_rows_out(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "1", "topic": "a", "n": 5}\n{"id": 2, "topic": "b"}\n{"id": "3", "topic": null}\n{"topic": "a"}\n'
    )

    def found(dataset: dict[str, Any], **query: Any) -> list[int]:
        spec = DatasetSpec.model_validate(
            {"source": "files/jsonl", "dataset_id": "rows.jsonl", "fields": {"id": "id"}, **dataset}
        )
        rows = JsonlLoader().rows(spec, DatasetQuerySpec.model_validate(query), tmp_path)
        return [int(row.location.rpartition(":")[2]) for row in rows]

    transform = {"transforms": [{"field": "topic", "template": "x"}]}
    # The id 2 is no text, and the fourth row has none: the core decides about both.
    assert found({}, item_ids=["1"]) == [1, 2, 4]
    assert found({}, filters={"topic": "a"}) == [1, 3, 4]
    assert found({}, filters={"topic": ["a", "b"]}) == [1, 2, 3, 4]
    assert found({}, filters={"topic": ["a", 5]}) == [1, 2, 3, 4]
    assert found({}, filters={"n": 6}) == [1, 2, 3, 4]
    assert found({}, filters={"deep.topic": "a"}) == [1, 2, 3, 4]
    assert found(transform, filters={"topic": "x"}) == [1, 2, 3, 4]
    assert found({"fields": {"rename": {"topic": "n"}}}, filters={"topic": "5"}) == [1, 2, 3, 4]
    assert found({"fields": {"rename": {"kind": "topic"}}}, filters={"kind": "a"}) == [1, 2, 3, 4]
    assert found({"transforms": [{"field": "id", "template": "x"}]}, item_ids=["x"]) == [1, 2, 3, 4]
    assert found({"fields": {"id": "topic"}}, item_ids=["b"]) == [2, 3]


def test_inline_rows_come_from_the_spec() -> None:
    loader = InlineLoader.model_validate({"rows": [{"q": "2 + 2?", "gold": 4}, {"q": "3?", "gold": None}]})
    rows = list(loader.rows(DatasetSpec(source="files/inline"), DatasetQuerySpec(), Path()))
    assert [(row.location, row.data) for row in rows] == [
        ("row 1", {"q": "2 + 2?", "gold": 4}),
        ("row 2", {"q": "3?", "gold": None}),
    ]
    rows[0].data["q"] = "changed"
    assert loader.inline_rows[0]["q"] == "2 + 2?"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "too_short"),
        ([{"a": float("nan")}], "row 1 holds what JSON can't hold"),
        ([{"a": 1}, {"a": object()}], "row 2 holds what JSON can't hold"),
        ([1], "valid dictionary"),
    ],
)
def test_inline_rows_are_checked_with_the_config(rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InlineLoader.model_validate({"rows": rows})


def test_inline_rows_and_a_file_do_not_go_together() -> None:
    loader = InlineLoader.model_validate({"rows": [{"a": 1}]})
    with pytest.raises(SpecError, match="leave dataset_id out"):
        list(loader.rows(DatasetSpec(source="files/inline", dataset_id="x"), DatasetQuerySpec(), Path()))
