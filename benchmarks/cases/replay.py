"""Recorded answers, scored again: 10,000, 100,000 and 350,000, of which the last are read by two parses.

What a trial costs and the peak of memory are to be flat; for that, 10,000 with two parses stand beside the 350,000.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benchmarks.bench import TWO_PARSES, Bench
from benchmarks.measuring import Figures, measured, repeated
from benchmarks.table import Row

ONE_PARSE = TWO_PARSES[:1]


def rows(bench: Bench) -> Iterator[Row]:
    few, many, most = (bench.count(each) for each in (10_000, 100_000, 350_000))
    start = replay(bench, 1, ONE_PARSE)
    small, large = replay(bench, few, ONE_PARSE), replay(bench, many, ONE_PARSE)
    small_2, largest = replay(bench, few, TWO_PARSES), replay(bench, most, TWO_PARSES)
    bare, bare_2 = bare_loop(bench, many, ONE_PARSE), bare_loop(bench, most, TWO_PARSES)

    def a_trial(figures: Figures, count: int) -> float:
        """CPU ms beyond the start, which would be shared out among few or many."""
        return 1000 * (figures.cpu_s - start.cpu_s) / max(1, count - 1)

    cost = {"bare": 1000 * bare.cpu_s / many}
    yield Row("replay of 100,000: CPU ms a trial", 1000 * large.cpu_s / many, cost, goal=0.15)
    yield Row("– peak MB", large.peak_mb, {"bare": bare.peak_mb}, goal=100)
    yield Row("– CPU ms a trial beyond the start", a_trial(large, many), {"10,000": a_trial(small, few)})
    yield Row("– peak MB", large.peak_mb, {"10,000": small.peak_mb})
    yield Row("replay of 350,000, two parses: CPU s", largest.cpu_s, {"bare": bare_2.cpu_s}, goal=60)
    yield Row("– peak MB", largest.peak_mb, {"bare": bare_2.peak_mb}, goal=120)
    yield Row("– CPU ms a trial beyond the start", a_trial(largest, most), {"10,000": a_trial(small_2, few)})
    yield Row("– peak MB", largest.peak_mb, {"10,000": small_2.peak_mb})


def replay(bench: Bench, count: int, patterns: tuple[str, ...]) -> Figures:
    """Replay into a new store each time; the last one stays for the cases that need it."""
    place = bench.replay_folder(count, patterns)

    def once(number: int) -> Figures:
        shutil.rmtree(place / ".themis", ignore_errors=True)
        return bench.themis("run", place / "spec.json")

    return repeated(once, bench.times(3))


def bare_loop(bench: Bench, count: int, patterns: tuple[str, ...]) -> Figures:
    place = bench.replay_folder(count, patterns)
    files = [str(place / name) for name in ("questions.jsonl", "recorded.jsonl")]
    command = ("-m", "benchmarks.cases.bare_replay", *files)
    return bench.repeated(lambda own: measured((*command, str(own / "bare.sqlite3"), *patterns)))
