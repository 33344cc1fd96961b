"""The hub loader over local files that the `datasets` library itself loads. Nothing here needs a network."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, SpecError
from themis_core.testing.loader import DatasetLoaderSuite
from themis_plugin_huggingface.hub import HubLoader
from themis_plugin_huggingface.problems import explained
from themis_plugin_huggingface.values import NoJson, class_names, plain, undecoded

ROWS = [
    {"id": "a", "question": "2 + 2?", "topic": "sums", "label": 0},
    {"id": "b", "question": "3 × 3?", "topic": "products", "label": 1},
    {"id": "c", "question": "5 - 1?", "topic": "sums", "label": 1},
]
CARD = """---
dataset_info:
  features:
  - {name: id, dtype: string}
  - {name: question, dtype: string}
  - {name: topic, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': easy, '1': hard}}}
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
---
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset as it lies on the hub: a card, and Parquet files by split."""
    (tmp_path / "mine" / "data").mkdir(parents=True)
    (tmp_path / "mine" / "README.md").write_text(CARD)
    for split, rows in (("train", ROWS[:1]), ("test", ROWS)):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine" / "data" / f"{split}-0.parquet")
    return tmp_path


def spec(dataset_id: str = "mine", **fields: Any) -> DatasetSpec:
    return DatasetSpec.model_validate({"source": "huggingface/hub", "dataset_id": dataset_id, **fields})


def load(loader: HubLoader, dataset: DatasetSpec, base_dir: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(row.location, row.data) for row in loader.rows(dataset, DatasetQuerySpec(), base_dir)]


def problem(loader: HubLoader, dataset: DatasetSpec, base_dir: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load(loader, dataset, base_dir)
    return caught.value.message


class HubSuite(DatasetLoaderSuite):
    @pytest.fixture
    def text_filter(self) -> tuple[str, str]:
        return "topic", "sums"

    @pytest.fixture
    def missing(self) -> DatasetSpec | None:
        return spec("nobody/no-such-dataset", split="test")


class TestFolder(HubSuite):
    @pytest.fixture
    def loader(self) -> DatasetLoader:
        return HubLoader()

    @pytest.fixture
    def dataset(self, folder: Path) -> DatasetSpec:
        return spec(split="test", fields={"id": "id"})


class TestReaderOfJsonLines(HubSuite):
    @pytest.fixture
    def loader(self) -> DatasetLoader:
        return HubLoader(data_files={"test": "rows-*.jsonl"})

    @pytest.fixture
    def dataset(self, base_dir: Path) -> DatasetSpec:
        for number, row in enumerate(ROWS):
            (base_dir / f"rows-{number}.jsonl").write_text(json.dumps(row) + "\n")
        return spec("json", split="test", fields={"id": "id"})


@pytest.mark.parametrize("streaming", [True, False])
def test_a_folder_is_loaded_by_split(folder: Path, streaming: bool) -> None:
    loader = HubLoader(streaming=streaming)
    assert load(loader, spec(split="train"), folder) == [("mine[train]:row 1", ROWS[0])]
    assert [row for _, row in load(loader, spec(split="test"), folder)] == ROWS


def test_class_labels_are_numbers_unless_names_are_asked_for(folder: Path) -> None:
    rows = load(HubLoader(class_names=True, columns=["label", "id"]), spec(split="test"), folder)
    assert [row for _, row in rows] == [
        {"id": "a", "label": "easy"},
        {"id": "b", "label": "hard"},
        {"id": "c", "label": "hard"},
    ]


@pytest.mark.parametrize(
    ("config", "dataset", "message"),
    [
        ({}, {}, "dataset 'mine': name a split; there are: train, test"),
        (
            {},
            {"split": "dev"},
            "dataset 'mine': Bad split: dev. Available splits: ['train', 'test']: name one of these in `split`",
        ),
        (
            {},
            {"split": "test", "config_name": "main"},
            (
                "dataset 'mine': BuilderConfig 'main' not found. Available: ['default']: name one of these in "
                "`config_name`"
            ),
        ),
        (
            {"columns": ["gold"]},
            {"split": "test"},
            "dataset 'mine': no column 'gold'; there are: id, question, topic, label",
        ),
        (
            {"data_files": "none-*.parquet"},
            {"split": "train"},
            "dataset 'mine': No (supported) data files found in BASE/mine: check extras.data_files",
        ),
        (
            {},
            {"dataset_id": "json", "split": "train"},
            "dataset_id 'json' is a reader of files: name them in extras.data_files",
        ),
        (
            {},
            {"dataset_id": "", "split": "train"},
            "dataset_id is empty: give a name on the hub, a folder, or a reader such as json",
        ),
        (
            {},
            {"dataset_id": "nobody/nothing", "split": "train"},
            (
                "dataset 'nobody/nothing': Couldn't reach 'nobody/nothing' on the Hub (OfflineModeIsEnabled): check "
                "the network, or unset HF_HUB_OFFLINE; what was downloaded before needs no network"
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    folder: Path, config: dict[str, Any], dataset: dict[str, Any], message: str
) -> None:
    found = problem(HubLoader(**config), spec(**{"dataset_id": "mine", **dataset}), folder)
    assert found.replace(str(folder.resolve()), "BASE") == message


@pytest.mark.parametrize("streaming", [True, False])
def test_a_bad_row_is_the_librarys_to_name(tmp_path: Path, streaming: bool) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n{"id": \n')
    loader = HubLoader(data_files="rows.jsonl", streaming=streaming)
    assert problem(loader, spec("json", split="train"), tmp_path).startswith("dataset 'json': ")
    assert "JSON parse error" in problem(loader, spec("json", split="train"), tmp_path)


def test_a_number_that_is_not_finite_is_refused_or_null(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"v": 0.5}\n{"v": NaN}\n')
    dataset = spec("json", split="train")
    assert problem(HubLoader(data_files="rows.jsonl"), dataset, tmp_path) == (
        "dataset 'json', row 2: nan, which is no finite number (`nan: null` in extras reads it as null)"
    )
    rows = load(HubLoader(data_files="rows.jsonl", nan="null"), dataset, tmp_path)
    assert [row for _, row in rows] == [{"v": 0.5}, {"v": None}]


def test_images_are_refused_by_column_and_can_be_left_out(tmp_path: Path) -> None:
    features = datasets.Features({"q": datasets.Value("string"), "pictures": datasets.List(datasets.Image())})
    (tmp_path / "mine").mkdir()
    table = pa.table({"q": ["x"], "pictures": pa.array([[]], pa.list_(features["pictures"].feature.pa_type))})
    pq.write_table(table.cast(features.arrow_schema), tmp_path / "mine" / "train.parquet")
    dataset = spec(split="train")
    assert problem(HubLoader(), dataset, tmp_path) == (
        "dataset 'mine': the column 'pictures' holds values of type Image, which JSON can't hold; "
        "name the others in extras.columns"
    )
    assert load(HubLoader(columns=["q"]), dataset, tmp_path) == [("mine[train]:row 1", {"q": "x"})]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**63, 2**63),
        ("x\0\ud800", "x\0\ud800"),
        (0.1, 0.1),
        (decimal.Decimal("12.50"), "12.50"),
        (decimal.Decimal("1E+3"), "1000"),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.time(1, 2, 3), "01:02:03"),
        (datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC), "2026-01-31T12:00:00+00:00"),
        (datetime.timedelta(milliseconds=-1500), "-PT1.5S"),
        ([1, (2.5, {"k": datetime.date(2026, 1, 31)})], [1, [2.5, {"k": "2026-01-31"}]]),
        (numpy.int64(7), 7),
        (numpy.float32(0.5), 0.5),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ],
    ids=repr,
)
def test_values_become_json_without_loss(value: Any, expected: Any) -> None:
    found = plain(value, nan_is_null=False)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"x", "a value of type bytes, which JSON can't hold; name the other columns in extras.columns"),
        ({1: "x"}, "an object has the key 1, which is no text"),
        ([float("inf")], "inf, which is no finite number"),
        (decimal.Decimal("NaN"), "a value of type Decimal"),
        (numpy.float64("nan"), "nan, which is no finite number"),
        (object(), "a value of type object"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_json_can_not_hold_is_refused(value: Any, message: str) -> None:
    with pytest.raises(NoJson) as caught:
        plain(value, nan_is_null=False)
    assert str(caught.value).startswith(message)


def test_class_names_are_found_at_any_depth() -> None:
    label = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features(
        {
            "one": label,
            "many": datasets.List(label),
            "deep": {"inner": [label], "n": datasets.Value("int8")},
            "n": datasets.Value("int8"),
        }
    )
    named = class_names(features)
    assert named is not None
    row = {"one": 1, "many": [0, None, -1], "deep": {"inner": [1], "n": 1}, "n": 1}
    assert named(row) == {"one": "yes", "many": ["no", None, None], "deep": {"inner": ["yes"], "n": 1}, "n": 1}
    assert named({"one": None, "many": None, "deep": None, "n": None}) == dict.fromkeys(row)
    assert class_names(datasets.Features({"n": datasets.Value("int8")})) is None
    assert class_names(None) is None


def test_media_are_found_at_any_depth() -> None:
    features = datasets.Features(
        {"a": {"b": [datasets.Audio()]}, "c": datasets.Value("string"), "d": datasets.List(datasets.Image())}
    )
    assert list(undecoded(features)) == [("a", "values of type Audio"), ("d", "values of type Image")]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'x/y' is a gated dataset on the Hub. Visit the page."),
            (
                "Dataset 'x/y' is a gated dataset on the Hub. Visit the page: ask for access on the dataset's page, "
                "then put your access token into the variable MY_TOKEN"
            ),
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'x' doesn't exist on the Hub or cannot be accessed."),
            (
                "Dataset 'x' doesn't exist on the Hub or cannot be accessed: check the name and `revision`; a private "
                "dataset needs an access token in the variable MY_TOKEN"
            ),
        ),
        (
            RuntimeError("Dataset scripts are no longer supported, but found x.py"),
            (
                "Dataset scripts are no longer supported, but found x.py: this dataset is a program, which Themis does "
                "not run"
            ),
        ),
        (ZeroDivisionError("boom\nagain"), "ZeroDivisionError: boom again"),
        (ZeroDivisionError(), "ZeroDivisionError: ZeroDivisionError"),
    ],
)
def test_errors_of_the_library_say_what_to_do(error: Exception, message: str) -> None:
    assert explained(error, token_env="MY_TOKEN") == message


def test_no_error_of_the_library_gets_through_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(SpecError, match="ZeroDivisionError: inside") as caught:
        load(HubLoader(), spec(split="test"), folder)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_local_data_are_pinned_by_their_hashes(folder: Path) -> None:
    def pinned(name: str) -> dict[str, Any]:
        content = (folder / name).read_bytes()
        return {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    (folder / "mine" / ".cache").mkdir()
    (folder / "mine" / ".cache" / "x").write_text("not data")
    assert HubLoader().fingerprint(spec(split="test"), folder) == {
        "files": [pinned(f"mine/{each}") for each in ("README.md", "data/test-0.parquet", "data/train-0.parquet")]
    }
    loader = HubLoader(data_files={"test": ["mine/data/te*.parquet", "https://example.org/x.parquet"]})
    assert loader.fingerprint(spec("parquet", split="test"), folder) == {"files": [pinned("mine/data/test-0.parquet")]}


class FakeHub:
    """Stands for the hub's API; a branch moves with every look."""

    looks: list[tuple[str, str | None]]
    tokens: list[str | None]

    def __init__(self, *, reachable: bool = True) -> None:
        self.looks, self.tokens, self.reachable = [], [], reachable

    def __call__(self, token: str | None) -> FakeHub:
        self.tokens.append(token)
        return self

    def dataset_info(self, name: str, *, revision: str | None, timeout: float) -> Any:
        self.looks.append((name, revision))
        if not self.reachable:
            raise ConnectionError("no network")
        return type("Info", (), {"sha": f"{len(self.looks):040x}"})


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The revisions that the library is asked for."""
    asked: list[str | None] = []

    def load_dataset(*args: Any, revision: str | None, **kwargs: Any) -> datasets.Dataset:
        asked.append(revision)
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_revision_is_resolved_once_recorded_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: list[str | None]
) -> None:
    hub = FakeHub()
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    monkeypatch.setenv("MY_TOKEN", "t0ken")
    loader = HubLoader(token_env="MY_TOKEN")
    dataset = spec("some/name", split="test", revision="main")
    commit = f"{1:040x}"
    assert loader.fingerprint(dataset, tmp_path) == {"requested_revision": "main", "revision": commit}
    load(loader, dataset, tmp_path)
    load(loader, dataset, tmp_path)
    assert (loaded, hub.looks, hub.tokens) == ([commit, commit], [("some/name", "main")], ["t0ken"])
    assert "t0ken" not in str(loader.identity()) + repr(loader)


def test_a_commit_needs_no_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: list[str | None]) -> None:
    hub = FakeHub()
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    commit = "0123456789abcdef0123456789abcdef01234567"
    load(HubLoader(), spec("some/name", split="test", revision=commit), tmp_path)
    assert (loaded, hub.looks) == ([commit], [])


@pytest.mark.parametrize("revision", ["v1.0", None])
def test_without_the_hub_what_was_given_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: list[str | None], revision: str | None
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub(reachable=False))
    loader, dataset = HubLoader(), spec("some/name", split="test", revision=revision)
    assert loader.fingerprint(dataset, tmp_path) == {"requested_revision": revision, "revision": revision}
    load(loader, dataset, tmp_path)
    assert loaded == [revision]


@pytest.mark.parametrize("streaming", [True, False])
def test_json_columns_are_what_their_json_says(tmp_path: Path, streaming: bool) -> None:
    values = [{"a": 1, "b": [1, "x"]}, "text", [1, {"c": None}], None, 7]
    features = datasets.Features({"args": datasets.Json(), "calls": datasets.List(datasets.Json())})
    rows = {"args": values, "calls": [[each] for each in values]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "rows.parquet")
    loader = HubLoader(data_files="rows.parquet", streaming=streaming)
    found = [row for _, row in load(loader, spec("parquet", split="train"), tmp_path)]
    assert [row["args"] for row in found] == values
    assert [row["calls"] for row in found] == [[each] for each in values]


@pytest.mark.parametrize("dataset_id", ["mine", "json"])
def test_local_files_have_no_revision(folder: Path, dataset_id: str) -> None:
    loader = HubLoader(data_files=None if dataset_id == "mine" else "mine/train.jsonl")
    said = problem(loader, spec(dataset_id, split="train", revision="main"), folder)
    assert said == "revision: files of your own have none, the hub's datasets do: leave it out"
