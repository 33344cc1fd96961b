"""How often `compare` finds a difference where there is none, and where there is one; written to docs/comparing.md.

Exits with 1 if a false alarm comes in more than 5.5 % of 15,000 trials of any kind and size (of fewer, in more than
what comes by chance as seldom), or if the power is more than two points from what is predicted. Seeded: every run
prints the same table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from themis_plugin_stats.corpus import jackknifed
from themis_plugin_stats.planning import power_of_mcnemar, power_of_t
from themis_plugin_stats.procedures import Procedure, paired

PAGE = Path(__file__).parents[2] / "docs" / "comparing.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
TRIALS = 15_000
FEWER = 5_000
"""Of what takes longer: numbers of all items, and clusters of unequal size."""
FEWEST = 1_000
"""Of 3,000 items most of which are in a few clusters, whose signs are flipped."""
SIZES = (20, 50, 100, 300, 1000, 3000)
LEVEL, MOST_OFF = 5.0, 2.0
"""Per cent of the trials, and points."""
Floats = NDArray[np.float64]
Draw = np.random.Generator


class Case(NamedTuple):
    """One kind of scores."""

    name: str
    compare: Callable[[Draw, int, float], Procedure]
    """One trial: of so many items, and a true difference."""
    power: Callable[[int, float], float] | None = None
    """What is predicted."""
    units: int = 1
    """Items in a cluster."""
    trials: int = TRIALS
    trials_of_many: int = TRIALS
    """Of the largest size."""


# --- zeros and ones: item i is right with its own chance, the same for both sides


def binary(draw: Draw, n: int, difference: float, *, rate: float = 0.6, kept: float = 0.6) -> Procedure:
    """A share of the items, `kept`, is right or wrong for both alike; of the others each side is right by chance."""
    a, b, same = draw.random(n) < rate, draw.random(n) < rate + difference / (1 - kept), draw.random(n) < kept
    return paired(a.astype(float), np.where(same, a, b).astype(float))


def differing(difference: float, rate: float = 0.6, kept: float = 0.6) -> float:
    other = rate + difference / (1 - kept)
    return (1 - kept) * (rate * (1 - other) + other * (1 - rate))


def rare(draw: Draw, n: int, difference: float) -> Procedure:
    return binary(draw, n, difference, rate=0.95, kept=0.2)


# --- scores between


def even(draw: Draw, n: int, difference: float) -> Procedure:
    item = draw.beta(2, 2, n)
    a, b = (item + draw.normal(0, 0.2, n) for _ in "ab")
    return paired(a, b + difference)


def skewed(draw: Draw, n: int, difference: float) -> Procedure:
    """Most scores near 1, some far below."""
    item = draw.beta(5, 1, n)
    a, b = (item * draw.beta(8, 1, n) for _ in "ab")
    return paired(a, b + difference)


def unlike(draw: Draw, n: int, difference: float) -> Procedure:
    """Of equal means, but B's scores are spread more than A's, and not evenly."""
    return paired(draw.beta(8, 4, n), draw.beta(2, 1, n) + difference)


# --- clusters, as questions about one text


def cluster_of(draw: Draw, n: int) -> NDArray[np.int64]:
    """Clusters of one to nine items."""
    sizes = draw.integers(1, 10, n)
    return np.repeat(np.arange(n), sizes)[:n]


def clustered(draw: Draw, n: int, difference: float) -> Procedure:
    cluster = cluster_of(draw, n)
    own = draw.normal(0, 0.3, (n, 2))[cluster]
    a, b = own[:, 0] + draw.normal(0, 0.3, n), own[:, 1] + draw.normal(0, 0.3, n)
    return paired(a, b + difference, cluster)


def clustered_binary(draw: Draw, n: int, difference: float) -> Procedure:
    cluster = cluster_of(draw, n)
    chance = draw.beta(1, 1, (n, 2))[cluster]
    a, b = draw.random(n) < chance[:, 0], draw.random(n) < chance[:, 1]
    return paired(a.astype(float), b.astype(float), cluster)


def even_clusters(draw: Draw, n: int, difference: float) -> Procedure:
    """Of five items each, so that what they tell can be predicted."""
    cluster = np.arange(n) // 5
    own = draw.normal(0, 0.3, (n, 2))[cluster]
    a, b = own[:, 0] + draw.normal(0, 0.3, n), own[:, 1] + draw.normal(0, 0.3, n)
    return paired(a, b + difference, cluster)


def of_most(clusters: int, share: float, size: int = 1) -> Callable[[Draw, int, float], Procedure]:
    """So many clusters have this share of the items; the others have `size` items each."""

    def compare(draw: Draw, n: int, difference: float) -> Procedure:
        large = max(1, int(n * share / clusters))
        rest = np.arange(n - clusters * large) // size + clusters
        return unequal(draw, np.concatenate([np.repeat(np.arange(clusters), large), rest]), difference)

    return compare


def by_zipf(draw: Draw, n: int, difference: float) -> Procedure:
    """Sixty clusters: the first has k times as many items as the k-th."""
    share = 1 / np.arange(1, 61)
    sizes = np.maximum(1, np.round(n * share / share.sum())).astype(int)
    return unequal(draw, np.repeat(np.arange(60), sizes), difference)


def unequal(draw: Draw, cluster: NDArray[np.int64], difference: float) -> Procedure:
    own = draw.normal(0, 0.3, int(cluster.max()) + 1)[cluster]
    return paired(np.zeros(len(cluster)), own + draw.normal(difference, 0.3, len(cluster)), cluster)


# --- a number of all items: errors over words, as of a word error rate


def corpus(draw: Draw, n: int, difference: float) -> Procedure:
    words = draw.lognormal(3, 0.5, n)
    item = draw.beta(2, 5, n)
    a, b = (words * item * draw.beta(8, 2, n) for _ in "ab")
    b = b + words * difference

    def differ(items: NDArray[np.int64]) -> float:
        return float((b[items].sum() - a[items].sum()) / words[items].sum())

    return jackknifed(differ, n)


CASES = (
    Case("zeros and ones", binary, lambda n, d: power_of_mcnemar(n, differing(d), d)),
    Case("zeros and ones, 95 % right", rare, lambda n, d: power_of_mcnemar(n, differing(d, 0.95, 0.2), d)),
    Case("scores between", even, lambda n, d: power_of_t(n, 0.2 * 2**0.5, d)),
    Case("scores between, skewed", skewed),
    Case("scores between, of unlike shapes", unlike),
    Case("clusters", clustered),
    Case("clusters, zeros and ones", clustered_binary),
    Case("clusters of five", even_clusters, lambda n, d: power_of_t(n / 5, (2 * (0.09 + 0.09 / 5)) ** 0.5, d), 5),
    Case("one cluster of most items", of_most(1, 0.9), trials=FEWER, trials_of_many=FEWEST),
    Case("five clusters of most items", of_most(5, 0.9), trials=FEWER, trials_of_many=FEWEST),
    Case("clusters by Zipf's law", by_zipf, trials=FEWER, trials_of_many=FEWER),
    Case("one cluster of a third", of_most(1, 1 / 3, 10), trials=FEWER, trials_of_many=FEWER),
    Case("corpus metric", corpus, trials=FEWER, trials_of_many=FEWER),
)
ASSUMED = {"zeros and ones": 1.0, "zeros and ones, 95 % right": -0.6, "scores between": 0.75, "clusters of five": 1.3}
"""The true difference by the root of n."""


def found(index: int, n: int, difference: float, most: int = TRIALS) -> float:
    """Per cent of the trials, `most` of them at most, in which a difference is found."""
    case = CASES[index]
    draw = np.random.default_rng([index, n, round(1e6 * abs(difference))])
    trials = min(most, trials_of(case, n))
    return 100 * sum(case.compare(draw, n, difference).p_value < 0.05 for _ in range(trials)) / trials


def trials_of(case: Case, n: int) -> int:
    return case.trials_of_many if n == SIZES[-1] else case.trials


def most_false(trials: int) -> float:
    """Per cent that a test of 5 % exceeds by chance in one of 400 simulations: of 15,000 trials, 5.5."""
    return LEVEL + 2.8 * sqrt(LEVEL * (100 - LEVEL) / trials)


def row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    with ProcessPoolExecutor(2) as pool:
        false = {(i, n): pool.submit(found, i, n, 0.0) for i in range(len(CASES)) for n in SIZES}
        true = {
            (i, n): pool.submit(found, i, n, ASSUMED[case.name] / n**0.5)
            for i, case in enumerate(CASES)
            for n in SIZES[1:]
            if case.power is not None
        }
        alarms = {place: share.result() for place, share in false.items()}
        powers = {place: share.result() for place, share in true.items()}
    text, faults = "\n".join([*alarm_lines(alarms), "", *power_lines(powers)]) + "\n", faults_of(alarms, powers)
    sys.stdout.write(text + "".join(f"{fault}\n" for fault in faults))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 1 if faults else 0


Found = dict[tuple[int, int], float]
"""By case and size, per cent of the trials."""


def alarm_lines(alarms: Found) -> list[str]:
    told = (
        f"False alarms in per cent of {TRIALS:,} trials, by the number of items. A corpus metric and clusters of\n"
        f"unequal size had {FEWER:,} trials, and {SIZES[-1]:,} items of which a few clusters have most had {FEWEST:,}:"
    )
    lines = [told, "", row(["scores", *(f"{n:,}" for n in SIZES), "all"]), "|---" + "|---:" * (len(SIZES) + 1) + "|"]
    for i, case in enumerate(CASES):
        shares = [alarms[i, n] for n in SIZES]
        lines.append(row([case.name, *(f"{share:.1f}" for share in (*shares, fmean(shares)))]))
    return lines


def power_lines(powers: Found) -> list[str]:
    lines = ["Power in per cent, as found and as predicted:", ""]
    lines += [row(["scores", *(f"{n:,}" for n in SIZES[1:])]), "|---" + "|---:" * len(SIZES[1:]) + "|"]
    for i, case in enumerate(CASES):
        if case.power is not None:
            lines.append(row([case.name, *(f"{powers[i, n]:.1f} / {predicted(case, n):.1f}" for n in SIZES[1:])]))
    return lines


def predicted(case: Case, n: int) -> float:
    assert case.power is not None
    return 100 * case.power(n, ASSUMED[case.name] / n**0.5)


def faults_of(alarms: Found, powers: Found) -> list[str]:
    false = [
        f"{CASES[i].name}, {n} items: false alarms in {share:.2f} %"
        for (i, n), share in alarms.items()
        if share > most_false(trials_of(CASES[i], n))
    ]
    off = [
        f"{CASES[i].name}, {n} items: power {share - predicted(CASES[i], n):+.2f} points off"
        for (i, n), share in powers.items()
        if abs(share - predicted(CASES[i], n)) > MOST_OFF
    ]
    return [*false, *off]


if __name__ == "__main__":
    sys.exit(main())
