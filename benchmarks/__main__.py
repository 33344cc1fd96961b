"""Measures all cases, or those that are named, and prints one table: `python -m benchmarks [--short] [CASE ...]`.

All of them, at full length, are written to docs/benchmarks.md as well.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.cases import CASES, rows_of
from benchmarks.measuring import CORES, LONG_S, PINNED, ROOT
from benchmarks.table import Row, markdown

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def in_a_process(case: str, bench: Bench) -> list[Row]:
    """The rows of a case, without its imports here, which would count as memory of what the next ones measure."""
    with multiprocessing.get_context("spawn").Pool(1) as one:  # which ends it when this process is interrupted
        return one.apply(rows_of, (case, bench))


def measure(
    bench: Bench, cases: Sequence[str], how: Callable[[str, Bench], list[Row]] = in_a_process
) -> tuple[list[Row], list[str]]:
    """The rows of all cases, and the names of those that broke; how it goes is said on standard error meanwhile."""
    rows, broken = [], []
    for case in cases:
        begin = time.perf_counter()
        print(f"{case} ...", end=" ", file=sys.stderr, flush=True)
        try:
            rows += how(case, bench)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other cases can be measured
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            broken.append(case)
        print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return rows, broken


def conditions(seconds: float) -> str:
    pinned = "client and server on a core each" if PINNED else "nothing bound to a core"
    return (
        f"{len(CORES)} cores, {pinned}, Python {platform.python_version()}; measured in {seconds / 60:.0f} minutes. "
        "Start and exit are included. Of 3 runs, the least CPU and wall time and the greatest peak; of fewer where they"
        f" took more than {LONG_S:.0f} s."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description="Measure Themis against bare loops.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; all by default")
    parser.add_argument("--short", action="store_true", help="a few trials of each case: only to see that it works")
    chosen = parser.parse_args()
    if unknown := set(chosen.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}: there are {', '.join(CASES)}")
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as made:
        rows, broken = measure(Bench(Path(made), short=chosen.short), chosen.cases or CASES)
    text = f"{conditions(time.perf_counter() - begin)}\n\n{markdown(rows)}"
    print(f"With --short the figures mean nothing.\n\n{text}" if chosen.short else text)
    if broken:
        sys.exit(f"not measured, for the reasons above: {', '.join(broken)}")
    if not (chosen.short or chosen.cases):
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
