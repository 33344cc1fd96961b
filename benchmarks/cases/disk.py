"""What a closed store takes on disk, without the text of questions and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks import made
from benchmarks.bench import Bench
from benchmarks.measuring import measured
from benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    yield row(bench, "disk a trial beyond its text: kB", bench.count(20_000), size=250, goal=0.8)
    yield row(bench, "– of answers of 8 kB", bench.count(5_000), size=8_000, goal=1)


def row(bench: Bench, name: str, count: int, *, size: int, goal: float) -> Row:
    place = bench.folder / f"disk-{size}"
    place.mkdir()
    questions = made.questions(place, count)
    bench.themis("run", made.spec_file(place, made.recorded(place, count, size)))
    bare = place / "bare"
    bare.mkdir()
    files = (str(questions), str(place / "recorded.jsonl"), str(bare / "bare.sqlite3"))
    measured(("-m", "benchmarks.cases.bare_replay", *files, r"(?m)^A: (.+)$"))
    text = text_of(questions, "question") + text_of(place / "recorded.jsonl", "output")
    beyond = [(on_disk(folder) - text) / count / 1000 for folder in (place / ".themis", bare)]
    return Row(name, beyond[0], {"bare": beyond[1]}, goal=goal)


def text_of(file: Path, column: str) -> int:
    """Bytes of one column of a file of rows."""
    with file.open(encoding="utf-8") as lines:
        return sum(len(json.loads(line)[column].encode()) for line in lines)


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
