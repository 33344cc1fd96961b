"""Stores with flipped bits and deleted events: each harmless or told, and never called whole afterwards."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import opened
from lab.workers import Workers, wait_until

from themis_core.cli import cli
from themis_core.testing.server import ScriptedServer
from themis_sql.layout import PROJECTIONS, TRUTH

Count = Callable[[int, int], int]
Figures = Callable[..., None]
DAMAGED = 4
NO_SUCH_RUN = 2
"""Also if it was its name that was changed."""
DERIVED = (
    "runs",
    "executions",
    "arms",
    "batches",
    "scorers",
    "settings",
    "items",
    "generations",
    "trials",
    "scores",
    "score_links",
)


@pytest.fixture(scope="module")
def whole(session_workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A benchmark that ran to its end."""
    with ScriptedServer() as server:
        server.reset({})
        made = make_benchmark(tmp_path_factory.mktemp("whole"), server.base_url, trials=60)
        worker = session_workers.start(made)
        assert worker.wait() == 0, worker.said
    return made


def themis(benchmark: Benchmark, *arguments: str) -> Result:
    """Run a command on the benchmark's store; no error may come out of it unforeseen."""
    result = CliRunner().invoke(cli, [*arguments, "--spec", str(benchmark.spec)])
    said = f"themis {' '.join(arguments)}: {result.exit_code}\n{result.output}"
    assert result.exit_code in (0, NO_SUCH_RUN, DAMAGED), said
    assert "Traceback" not in result.output, said
    return result


@pytest.fixture(scope="module")
def run_id(whole: Benchmark) -> str:
    with opened(whole) as store:
        (run,) = store.runs()
    return run.run_id


def content(benchmark: Benchmark, run_id: str) -> tuple[str, ...] | None:
    """All that a user reads of the run; None if it is said that it can't be read."""
    exported = [
        themis(benchmark, "export", run_id, *more)
        for more in (["--to", "canonical"], ["--what", "scores"], ["--what", "generations"], ["--what", "items"])
    ]
    return None if any(each.exit_code for each in exported) else tuple(each.stdout for each in exported)


@contextmanager
def damaged_copy(whole: Benchmark, folder: Path) -> Iterator[Benchmark]:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole.folder, folder)
    yield whole.at(folder)
    shutil.rmtree(folder)


def outcome_of(benchmark: Benchmark, run_id: str, expected: tuple[str, ...]) -> str:
    """Say what became of a damage: harmless, told, mended; or hidden or blessed, which may not be."""
    for command in (("runs",), ("show", "run", run_id)):
        themis(benchmark, *command)
    told = themis(benchmark, "storage", "verify").exit_code == DAMAGED
    if not told:
        return "harmless" if content(benchmark, run_id) == expected else "hidden"
    themis(benchmark, "storage", "rebuild")
    if themis(benchmark, "storage", "verify").exit_code == DAMAGED:
        return "told"
    return "mended" if content(benchmark, run_id) == expected else "blessed"


def store_file(benchmark: Benchmark) -> Path:
    return benchmark.folder / "store" / "themis.sqlite3"


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def flip_value(path: Path, table: str, chance: random.Random) -> str:
    """Flip one bit of one value of one row, as a faulty memory would before SQLite wrote it."""
    with closing(sqlite3.connect(path)) as connection:
        described = list(connection.execute(f"PRAGMA table_info({table})"))
        column = chance.choice([row[1] for row in described])
        keys = [row[1] for row in described if row[5]]
        rows = list(connection.execute(f"SELECT {column}, {', '.join(keys)} FROM {table} WHERE {column} IS NOT NULL"))
        if not rows:
            return "nothing there"
        value, *row = chance.choice(rows)
        changed = flipped(value, chance)
        found = " AND ".join(f"{key} = ?" for key in keys)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {found}", (changed, *row))
        except sqlite3.IntegrityError:
            return "refused"
        connection.commit()
    return f"{table}.{column} of {row}: {value!r:.60} to {changed!r:.60}"


def flipped(value: object, chance: random.Random) -> object:
    if isinstance(value, bytes):
        data = bytearray(value)
        bit = chance.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        return bytes(data)
    if isinstance(value, str):
        place = chance.randrange(len(value)) if value else 0
        return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :] if value else "x"
    if isinstance(value, float):
        return -value if value == 0 else value * (1 + 2**-52)
    assert isinstance(value, int)
    return value ^ (1 << chance.randrange(8))


def judged(found: dict[str, str], figures: Figures) -> None:
    kinds = [each.partition(":")[0] for each in found.values()]
    figures(**{kind: kinds.count(kind) for kind in ("harmless", "told", "mended", "hidden", "blessed")})
    wrong = {name: what for name, what in found.items() if what in ("hidden", "blessed")}
    assert wrong == {}
    assert set(kinds) & {"told", "mended"}, "no damage did anything, so nothing was tried"


def test_a_flipped_bit_of_the_database_file_is_harmless_or_told(
    whole: Benchmark, run_id: str, tmp_path: Path, count: Count, figures: Figures
) -> None:
    expected = content(whole, run_id)
    assert expected is not None
    chance = random.Random(8)
    size = store_file(whole).stat().st_size * 8
    found = {}
    for number in range(count(200, 12)):
        bit = chance.randrange(size if number % 4 else 4_096 * 8)  # the first page has the header and the schema
        with damaged_copy(whole, tmp_path / "copy") as copy:
            flip(store_file(copy), bit)
            found[f"bit {bit}"] = outcome_of(copy, run_id, expected)
    judged(found, figures)


@pytest.mark.parametrize("tables", [TRUTH, PROJECTIONS], ids=["the log and the texts", "the projections"])
def test_a_flipped_bit_of_a_stored_value_is_harmless_or_told(
    whole: Benchmark, run_id: str, tmp_path: Path, count: Count, figures: Figures, tables: tuple[str, ...]
) -> None:
    expected = content(whole, run_id)
    assert expected is not None
    chance = random.Random(9)
    found = {}
    for number in range(count(200, 12)):
        with damaged_copy(whole, tmp_path / "copy") as copy:
            what = flip_value(store_file(copy), tables[number % len(tables)], chance)
            found[f"{number} {what}"] = outcome_of(copy, run_id, expected)
    judged(found, figures)


def test_a_flipped_bit_of_a_blob_file_is_harmless_or_told(
    whole: Benchmark, run_id: str, tmp_path: Path, count: Count, figures: Figures
) -> None:
    expected = content(whole, run_id)
    assert expected is not None
    chance = random.Random(10)
    found = {}
    for number in range(count(200, 5)):
        with damaged_copy(whole, tmp_path / "copy") as copy:
            path = chance.choice(sorted((copy.folder / "store" / "blobs").rglob("*.zst")))
            flip(path, chance.randrange(path.stat().st_size * 8))
            found[str(number)] = outcome_of(copy, run_id, expected)
    judged(found, figures)


DELETED = {
    "the head": "DELETE FROM events WHERE seq = 1",
    "the middle": "DELETE FROM events WHERE seq = (SELECT seq FROM events ORDER BY seq LIMIT 1 OFFSET 3)",
    "the tail": "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
    "the last three": "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq DESC LIMIT 3)",
    "the whole run": "DELETE FROM events WHERE run_id IS NOT NULL",
    "everything": "DELETE FROM events",
    "the whole run with its chains": "DELETE FROM events WHERE run_id IS NOT NULL; DELETE FROM chains WHERE id > 0",
    "everything with all chains": "DELETE FROM events; DELETE FROM chains",
}


@pytest.mark.parametrize("deleted", DELETED)
def test_deleted_events_are_told_and_stay_told(whole: Benchmark, run_id: str, tmp_path: Path, deleted: str) -> None:
    expected = content(whole, run_id)
    assert expected is not None
    with damaged_copy(whole, tmp_path / "copy") as copy:
        with closing(sqlite3.connect(store_file(copy))) as connection:
            connection.executescript(DELETED[deleted])
        assert outcome_of(copy, run_id, expected) == "told"
        assert themis(copy, "storage", "rebuild").exit_code == DAMAGED
        themis(copy, "storage", "rebuild", "--accept-loss")
        assert themis(copy, "storage", "verify").exit_code == DAMAGED


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


GONE: dict[str, Callable[[Path], object]] = {
    "the folder is deleted": lambda path: shutil.rmtree(path.parent, ignore_errors=True),
    "the folder is moved": lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    "the database is deleted": Path.unlink,
    "the database is replaced": replace,
    "the database is cut": cut,
    "the log is deleted": lambda path: log_of(path).unlink(),
    "the log is cut": lambda path: cut(log_of(path)),
    "the lock files are deleted": lambda path: shutil.rmtree(path.parent / "locks"),
}


@pytest.mark.parametrize("gone", GONE)
def test_a_run_whose_store_goes_away_ends_with_an_error_and_acknowledges_no_more(
    workers: Workers, server: ScriptedServer, tmp_path: Path, gone: str
) -> None:
    server.reset({"latency_s": 0.05})
    benchmark = make_benchmark(tmp_path, server.base_url, trials=1_000)
    worker = workers.start(benchmark)
    wait_until(lambda: benchmark.count() >= 50 or worker.ended, pause=0.001)
    GONE[gone](store_file(benchmark))
    at = time.monotonic()
    assert worker.wait() == DAMAGED, worker.said
    assert [each for each in benchmark.acknowledged() if each.at > at + 2] == []
    assert len(server.requests()) < 1_000


def test_control_without_digests_a_flipped_bit_of_an_event_is_blessed(
    whole: Benchmark, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content(whole, run_id)
    assert expected is not None
    monkeypatch.setattr("themis_sql.log.LogCheck.damages", lambda self: iter(()))
    with damaged_copy(whole, tmp_path / "copy") as copy:
        with closing(sqlite3.connect(store_file(copy))) as connection:
            connection.execute("DELETE FROM events WHERE seq = (SELECT seq FROM events ORDER BY seq LIMIT 1 OFFSET 3)")
            connection.commit()
        assert outcome_of(copy, run_id, expected) == "blessed"
