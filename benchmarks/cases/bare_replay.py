"""The bare loop of replay: reads questions and recorded answers, applies regexes, compares, inserts narrow rows.

python -m benchmarks.cases.bare_replay QUESTIONS RECORDED DATABASE PATTERN...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import regex

from benchmarks.cases.bare_rows import BATCH, Answer, database, insert


def scored(questions: Path, recorded: Path, patterns: Sequence[str]) -> Iterator[Answer]:
    items = {row["id"]: row for row in map(json.loads, questions.open(encoding="utf-8"))}
    compiled = [regex.compile(each) for each in patterns]
    for row in map(json.loads, recorded.open(encoding="utf-8")):
        item = items[row["id"]]
        found = [each.findall(row["output"], timeout=1.0) for each in compiled]
        right = all(each and each[-1].replace(",", "") == str(item["gold"]) for each in found)
        yield str(row["id"]), item["question"], "m", row["output"], found[0][-1], float(right)


def main(questions: str, recorded: str, file: str, *patterns: str) -> None:
    connection = database(Path(file))
    answers = scored(Path(questions), Path(recorded), patterns)
    while batch := list(islice(answers, BATCH)):
        insert(connection, batch)
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
