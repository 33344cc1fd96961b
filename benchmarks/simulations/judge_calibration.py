"""How often the corrected scores' 95 % intervals cover the truth, by simulation; written to docs/calibrating-judges.md.

Exits with 1 if an interval of the main table covers in fewer than 93 or more than 97 % of the trials. Seeded: every run
prints the same table.
"""

from __future__ import annotations

import math
import random
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate, product
from pathlib import Path

from themis_labels.agreement import Estimate, Rate
from themis_labels.calibration import corrected_mean, corrected_share

PAGE = Path(__file__).parents[2] / "docs" / "calibrating-judges.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
TRIALS = 2000
TRUTHS = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
SIZES = ((100, 100, 500), (200, 200, 1000))
JUDGES = ((0.95, 0.95), (0.95, 0.8), (0.9, 0.9), (0.9, 0.7), (0.8, 0.9), (0.8, 0.8), (0.7, 0.95), (0.7, 0.7))
FEW_OR_EXTREME = (
    *product(((30, 30, 300), (50, 50, 500)), ((0.95, 0.95), (0.9, 0.8), (0.7, 0.7))),
    *product(((50, 50, 500), (200, 200, 1000)), ((0.99, 0.9), (0.9, 0.99))),
)
KNOWN = 10**9
Sample = Callable[[], Estimate]


def binomial(n: int, p: float, draw: random.Random) -> Callable[[], int]:
    """Draws of a binomial distribution, by its table."""
    table = list(accumulate(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)))
    return lambda: min(n, bisect_left(table, draw.random()))


def coverage(sample: Sample, truth: float) -> float:
    """Per cent of the trials whose interval holds the truth."""
    found = [sample() for _ in range(TRIALS)]
    hits = sum(each.low is not None and each.high is not None and each.low <= truth <= each.high for each in found)
    return 100 * hits / TRIALS


def share(size: tuple[int, int, int], judge: tuple[float, float], truth: float, *, method: str = "ours") -> float:
    """Coverage for labels of so many positive and negative answers, and so many answers without a label."""
    (n_positive, n_negative, n), (sensitivity, specificity) = size, judge
    draw = random.Random(f"{size} {judge} {truth}")
    positive = binomial(n, truth * sensitivity + (1 - truth) * (1 - specificity), draw)
    right, left = binomial(n_positive, sensitivity, draw), binomial(n_negative, specificity, draw)

    def sample() -> Estimate:
        said, hits, passes = Rate(positive(), n, n), right(), left()
        if method == "uncorrected":
            return said.estimate()
        if method == "labels taken as exact":
            exact = (Rate(hits * KNOWN / n_positive, KNOWN, KNOWN), Rate(passes * KNOWN / n_negative, KNOWN, KNOWN))
            return corrected_share(said, *exact)
        return corrected_share(said, Rate(hits, n_positive, n_positive), Rate(passes, n_negative, n_negative))

    return coverage(sample, truth)


def graded(labelled: int, rest: int, bias: float, noise: float) -> float:
    """Coverage for grades 0 to 4 of which the judge's differ by a bias and noise, kept within the scale."""
    draw = random.Random(f"{labelled} {rest} {bias} {noise}")
    weights = (1, 2, 3, 4, 2)
    truth = sum(grade * weight for grade, weight in enumerate(weights)) / sum(weights)

    def answers(n: int) -> list[tuple[float, float]]:
        people = draw.choices(range(len(weights)), weights, k=n)
        return [(float(min(4, max(0, round(each + draw.gauss(bias, noise))))), float(each)) for each in people]

    return coverage(lambda: corrected_mean([judge for judge, _ in answers(rest)], answers(labelled)), truth)


def row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(rows: Iterable[tuple[tuple[int, int, int], tuple[float, float]]], cell: Callable[..., float]) -> list[str]:
    lines = [row(["labels 1 + 0", "answers", "sensitivity", "specificity", *TRUTHS]), "|---" * 4 + "|---:" * 7 + "|"]
    for size, judge in rows:
        found = [f"{cell(size, judge, truth):.1f}" for truth in TRUTHS]
        lines.append(row([f"{size[0]} + {size[1]}", size[2], *judge, *found]))
    return lines


def main() -> int:
    outside: list[float] = []

    def checked(*case: object) -> float:
        found = share(*case)  # type: ignore[arg-type]
        if not 93 <= found <= 97:
            outside.append(found)
        return found

    control = ((SIZES[0], JUDGES[5]),)
    cases = list(product((30, 100, 300), (200, 1000), ((0.0, 0.5), (0.5, 0.5), (-0.5, 1.0))))
    parts = [
        [f"Per cent of {TRIALS:,} trials whose interval covers the true share, by that share:", ""],
        table(product(SIZES, JUDGES), checked),
        [
            "",
            "Few labels, or a judge that is nearly always right on one side: at times too wide.",
            "",
        ],
        table(FEW_OR_EXTREME, share),
        ["", "The control: the judge's own share with Wilson's interval, as if it were the people's.", ""],
        table(control, partial(share, method="uncorrected")),
        ["", "The other control: sensitivity and specificity taken as known exactly.", ""],
        table(control, partial(share, method="labels taken as exact")),
        [
            "",
            "Grades 0 to 4, prediction-powered mean, by bias and noise (standard deviation) of the judge:",
            "",
        ],
        [row(["labels", "answers", "bias", "noise", "covered"]), "|---|---|---|---|---:|"],
        [row([n, rest, *judge, f"{graded(n, rest, *judge):.1f}"]) for n, rest, judge in cases],
    ]
    text = "\n".join(line for part in parts for line in part) + "\n"
    sys.stdout.write(text)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
