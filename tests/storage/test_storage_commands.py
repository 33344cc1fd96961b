"""`themis storage`, as it is typed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from made_store import RUNS, fill, lines
from pyarrow import parquet

import themis_plugin_sqlite.database
import themis_sql.migrations
from themis_core import StorageError, Store
from themis_core.cli import cli
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_sql import SCHEMA_VERSION

BACKEND = SqliteBlobStorageSpec(inline_limit_bytes=1_024)


def themis(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="themis")


def storage(*args: object, exits: int = 0) -> str:
    return printed("storage", *args, exits=exits)


def printed(*args: object, exits: int = 0) -> str:
    done = themis(*args)
    assert done.exit_code == exits, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a store in `.themis`."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with closing(BACKEND.open(folder)) as store:
        fill(store)
    return folder


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with closing(BACKEND.open(folder, mode="read")) as store:
        yield store


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / ".themis" / "themis.sqlite3")) as connection:
        connection.execute(statement)
        connection.commit()


def test_verify_lists_what_is_wrong_and_exits_with_4_until_rebuild_has_mended_it(folder: Path) -> None:
    path = folder / ".themis" / "themis.sqlite3"
    assert storage("verify") == f"nothing is wrong in {path}\n"
    assert json.loads(storage("verify", "--format", "json")) == {"storage": str(path), "damages": []}

    change(folder, "UPDATE trials SET outcome = 'empty' WHERE id = 1")
    problem = "the row is not as the log gives it; `themis storage rebuild` makes it again"
    assert storage("verify", exits=4) == f"trials 1: {problem}\n"
    assert json.loads(storage("verify", "--format", "json", exits=4))["damages"] == [
        {"place": "trials 1", "problem": problem}
    ]
    assert storage("rebuild") == f"rebuilt {path}\n"
    storage("verify")


@pytest.mark.parametrize(
    "command", ["storage verify", "storage rebuild", "storage migrate", "storage gc", "export", "storage backup copy"]
)
def test_a_command_makes_no_store_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = themis(*command.split())
    assert (done.exit_code, done.stdout) == (4, "")
    assert "there is no store at" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("named", ["--project", "--spec"])
def test_the_store_is_that_of_a_spec_or_a_project(folder: Path, tmp_path: Path, named: str) -> None:
    project = {"storage": {"backend": "sqlite", "root_dir": "here/.themis"}}
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "x"}}],
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "?"}]}],
        "slices": [{"slice_id": "s", "dataset": {"source": "files/jsonl", "dataset_id": "x"}, "generation": {}}],
    }
    file = tmp_path / "file.json"
    file.write_text(json.dumps({"project": project, "benchmark": benchmark} if named == "--spec" else project))
    os.chdir(tmp_path)
    assert storage("verify", named, file) == f"nothing is wrong in {folder / '.themis' / 'themis.sqlite3'}\n"


def test_a_backup_can_be_merged_and_both_are_equal(folder: Path, store: Store, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    storage("backup", copy)
    os.chdir(tmp_path)
    told = json.loads(storage("merge", copy, "--format", "json"))
    assert told == {"runs": 2, "events": 23, "earlier_executions": 0}
    with closing(BACKEND.open(tmp_path, mode="read")) as merged:
        assert lines(merged) == lines(store)
    assert storage("merge", copy) == f"nothing new: all of it is in {tmp_path / '.themis' / 'themis.sqlite3'} already\n"
    (tmp_path / ".themis").rename(tmp_path / "merged")
    assert storage("merge", copy).startswith("merged 2 runs, 23 new events into ")


def test_a_store_is_not_merged_into_itself(folder: Path) -> None:
    done = themis("storage", "merge", folder / ".themis")
    assert (done.exit_code, "names the same store" in done.stderr) == (2, True)


def test_gc_removes_what_a_crash_left_after_its_grace(folder: Path) -> None:
    left = folder / ".themis" / "blobs" / "00" / f"{'0' * 64}.zst"
    left.parent.mkdir()
    left.write_bytes(b"left")
    assert json.loads(storage("gc", "--format", "json")) == {"dry_run": False, "files": []}
    (told,) = json.loads(storage("gc", "--grace", "0", "--dry-run", "--format", "json"))["files"]
    assert (told["path"], told["size_bytes"], left.exists()) == (str(left), 4, True)
    assert storage("gc", "--grace", "0s") == f"{left}\n"
    assert not left.exists()
    storage("verify")


@pytest.mark.parametrize("grace", ["-1", "x", "1w", "1.5d", ""])
def test_a_grace_that_is_no_time_is_refused(folder: Path, grace: str) -> None:
    done = themis("storage", "gc", f"--grace={grace}")
    assert (done.exit_code, "write 30m, 12h or 7d" in done.stderr) == (2, True)


def test_migrate_brings_an_older_store_up_to_date(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following = SCHEMA_VERSION + 1
    monkeypatch.setattr(themis_sql.migrations, "MIGRATIONS", (themis_sql.migrations.Migration(following),))
    for module in (themis_sql.migrations, themis_plugin_sqlite.database):
        monkeypatch.setattr(module, "SCHEMA_VERSION", following)
    refused = themis("runs")
    assert (refused.exit_code, "`themis storage migrate`" in refused.stderr) == (4, True)
    assert storage("migrate") == f"up to date: {folder / '.themis' / 'themis.sqlite3'}\n"
    assert themis("runs").exit_code == 0
    storage("verify")


def test_export_writes_what_is_asked_for_in_the_format_that_the_name_says(folder: Path, store: Store) -> None:
    rows = [json.loads(line) for line in printed("export").splitlines()]
    assert [row["run_id"] for row in rows] == [RUNS[1], RUNS[0], RUNS[0]]
    (only,) = {row["run_id"] for row in map(json.loads, printed("export", "fir").splitlines())}
    assert only == RUNS[0]

    assert printed("export", "first", "--what", "scores", "--output", "scores.csv") == ""
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    assert [each["value"] for each in cells] == ["0.5", "0.5", "0.0", "1.0"]

    printed("export", "--what", "items", "--output", "items.parquet")
    assert parquet.read_table(folder / "items.parquet").column("item_id").to_pylist().count("1") == 1
    rows_of_csv = csv.reader(io.StringIO(printed("export", "--to", "csv", "--what", "items"), newline=""))
    assert len(list(rows_of_csv)) == 3


def test_the_canonical_export_comes_with_its_digest(folder: Path, store: Store) -> None:
    done = themis("export", "first", "--to", "canonical")
    digest = hashlib.sha256(done.stdout.encode()).hexdigest()
    assert done.stderr == f"{digest}  first\n"
    assert printed("export", "first", "--to", "canonical", "--output", "run.jsonl") == f"{digest}  run.jsonl\n"
    assert (folder / "run.jsonl").read_text() == done.stdout
    assert done.stdout.splitlines() == lines(store)[:3]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--to", "canonical"], "--to canonical takes one RUN"),
        (["a", "b", "--to", "canonical"], "--to canonical takes one RUN"),
        (["first", "--to", "canonical", "--what", "items"], "no --what"),
        (["first", "--to", "csv", "--set", "a=b"], "--set is of exporters"),
        (["--to", "inspect"], "takes one RUN and a new folder"),
        (["first", "--to", "inspect", "-o", "x", "--what", "items"], "--what is of tables"),
        (["--to", "parquet"], "add --output FILE"),
        (["--output", "x.xlsx"], "add --to: the name of x.xlsx says none of jsonl, csv, parquet"),
        (["nothing"], "no run begins with 'nothing'"),
    ],
)
def test_what_can_not_be_exported_is_said_and_no_file_is_left(folder: Path, args: list[str], message: str) -> None:
    before = set(folder.iterdir())
    done = themis("export", *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "quiet", "printed"),
    [
        ("themis", True, True),
        ("themis", False, True),
        ("themis.progress", True, False),
        ("themis_sql.migrations", True, False),
        ("themis_sql.migrations", False, True),
        ("a library", True, False),
    ],
)
def test_a_quiet_run_prints_its_own_warnings_and_no_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, quiet: bool, printed: bool
) -> None:
    def warned(*_: object, **__: object) -> None:
        assert logging.lastResort is not None
        record = logging.LogRecord(name, logging.WARNING, "", 0, "", (), None)
        shown.append(bool(logging.lastResort.filter(record)))
        raise StorageError("enough")

    shown: list[bool] = []
    monkeypatch.setattr("themis_core.session.run", warned)
    themis("run", "spec.yaml", *(["--quiet"] if quiet else []))
    assert shown == [printed]
    assert logging.lastResort is not None
    assert logging.lastResort.filters == []
