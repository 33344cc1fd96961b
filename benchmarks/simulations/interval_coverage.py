"""How often the 95 % intervals of results cover the truth, by simulation; written to docs/intervals.md.

Exits with 1 if intervals of continuous scores cover in fewer than 93 or more than 97 % of the trials, in more than one
case of a hundred, or beyond 92 and 98 % in any. Seeded: every
run prints the same table.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

from themis_intervals import Z95, ClusteredMean, interval_about, jackknife, t_quantile

PAGE = Path(__file__).parents[2] / "docs" / "intervals.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
TRIALS = 2000
SIZES = ((10, 1), (30, 1), (5, 2), (10, 2), (2, 5), (10, 5), (10, 10), (30, 3))
"""Items, and answers to each."""
CORRELATIONS = (0.0, 0.2, 0.5)
BETAS = ((1, 1), (2, 2), (0.5, 0.5), (2, 5), (8, 2), (5, 1), (0.5, 2))
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
Draw = Callable[[], float]


def clusters(size: tuple[int, int], correlation: float, value: Draw, draw: random.Random) -> list[list[float]]:
    """Items with answers of which any two have this correlation: each is the item's own value by its square root."""
    kept, found = correlation**0.5, []
    for _ in range(size[0]):
        own = value()
        found.append([own if draw.random() < kept else value() for _ in range(size[1])])
    return found


def covered(size: tuple[int, int], correlation: float, kind: tuple[float, ...], *, plain: bool = False) -> float:
    """Per cent of the trials whose interval covers the mean of Beta(a, b), or a share of ones; `plain` is ± 1.96 SE."""
    draw = random.Random(f"{size} {correlation} {kind}")
    truth = kind[0] / sum(kind) if len(kind) == 2 else kind[0]

    def value() -> float:
        return draw.betavariate(*kind) if len(kind) == 2 else float(draw.random() < truth)

    hits = 0
    for _ in range(TRIALS):
        mean = ClusteredMean()
        for cluster in clusters(size, correlation, value, draw):
            for place, each in enumerate(cluster):
                mean.add(each, new_cluster=place == 0)
        low, high, *_ = mean.interval()
        if plain and mean.mean is not None and mean.standard_error is not None:
            low, high = mean.mean - Z95 * mean.standard_error, mean.mean + Z95 * mean.standard_error
        hits += low is not None and high is not None and low <= truth <= high
    return 100 * hits / TRIALS


def covered_by_jackknife(items: int, edits: tuple[float, float], highest: float | None) -> float:
    """Per cent for the rate of a corpus: edits over words, where long texts have both."""
    draw = random.Random(f"{items} {edits} {highest}")
    truth, hits = edits[0] / sum(edits), 0
    for _ in range(TRIALS):
        words = [draw.lognormvariate(3, 0.5) for _ in range(items)]
        wrong = [draw.betavariate(*edits) * each for each in words]
        left_out = [(sum(wrong) - a) / (sum(words) - b) for a, b in zip(wrong, words, strict=True)]
        value = sum(wrong) / sum(words)
        low, high = interval_about(value, jackknife(left_out), t_quantile(items - 1), 0.0, highest)
        hits += low <= truth <= high
    return 100 * hits / TRIALS


def row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(kinds: Sequence[tuple[float, ...]], cell: Callable[..., float], names: Sequence[str]) -> list[str]:
    lines = [row(["items", "answers to each", "correlation", *names]), "|---:" * (3 + len(kinds)) + "|"]
    for size, correlation in product(SIZES, CORRELATIONS):
        if size[1] > 1 or not correlation:
            lines.append(row([*size, correlation, *(f"{cell(size, correlation, kind):.1f}" for kind in kinds)]))
    return lines


def main() -> int:
    found: list[float] = []

    def checked(*case: object) -> float:
        found.append(covered(*case))  # type: ignore[arg-type]
        return found[-1]

    betas = [f"Beta({a}, {b})" for a, b in BETAS]
    shares = [(share,) for share in SHARES]
    parts = [
        [f"Per cent of {TRIALS:,} trials whose interval covers the true mean. Beta(1, 1) is uniform.", ""],
        table(BETAS, checked, betas),
        ["", "The control: the mean ± 1.96 standard errors.", ""],
        table(BETAS, lambda *case: covered(*case, plain=True), betas),
        ["", "Zeros and ones, by the true share of ones.", ""],
        table(shares, covered, list(map(str, SHARES))),
        ["", "The rate of a corpus (edits by words), jackknife: on a range with two ends, and with one.", ""],
        [row(["items", "rates", "range [0, 1]", "range [0, …)"]), "|---:|---|---:|---:|"],
        [
            row([items, f"Beta{kind}", *(f"{covered_by_jackknife(items, kind, end):.1f}" for end in (1.0, None))])
            for items, kind in product((10, 30, 100), ((2, 2), (2, 5), (0.5, 2)))
        ],
    ]
    text = "\n".join(line for part in parts for line in part) + "\n"
    sys.stdout.write(text)
    sys.stdout.write(
        f"continuous scores: {len(found)} cases, {min(found):.1f} to {max(found):.1f}, mean {fmean(found):.1f}\n"
    )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    outside = [each for each in found if not 93 <= each <= 97]
    return 0 if len(outside) <= len(found) / 100 and all(92 <= each <= 98 for each in outside) else 1


if __name__ == "__main__":
    sys.exit(main())
