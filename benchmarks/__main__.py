"""Measures all cases, or those that are named, and prints one table: `python -m benchmarks [--short] [CASE ...]`.

All of them, at full length, are written to docs/benchmarks.md as well.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.cases import CASES
from benchmarks.measuring import CORES, LONG_S, PINNED, ROOT
from benchmarks.table import Row, markdown

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def measure(bench: Bench, cases: Sequence[str]) -> list[Row]:
    """The rows of each case; what is measured is said on standard error meanwhile."""
    rows = []
    for name in cases:
        begin = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.cases.{name}").rows(bench)
        print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return rows


def conditions(seconds: float) -> str:
    pinned = "client and server on a core each" if PINNED else "nothing bound to a core"
    return (
        f"{len(CORES)} cores, {pinned}, Python {platform.python_version()}; measured in {seconds / 60:.0f} minutes. "
        "Start and exit are included. Of 3 runs, the least CPU and wall time and the greatest peak; of fewer where they "
        f"took more than {LONG_S:.0f} s."
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
        rows = measure(Bench(Path(made), short=chosen.short), chosen.cases or CASES)
    told = (
        "A few trials of each case: the figures mean nothing."
        if chosen.short
        else conditions(time.perf_counter() - begin)
    )
    text = f"{told}\n\n{markdown(rows)}"
    print(text)
    if not (chosen.short or chosen.cases):
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
