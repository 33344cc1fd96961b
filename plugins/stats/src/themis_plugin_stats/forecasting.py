"""`themis power`: how many items a comparison needs and what it can show, from assumed rates or from a stored run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

import numpy as np

from themis_core import RunRecord, SpecError
from themis_intervals import decimals
from themis_output import lines
from themis_plugin_stats.collecting import Cell, Collected, MetricKey
from themis_plugin_stats.comparing import missing_of, tested
from themis_plugin_stats.judging import repeats_of
from themis_plugin_stats.opening import opened, read_sides
from themis_plugin_stats.planning import POWER, least_items, power_of, power_of_mcnemar
from themis_plugin_stats.sides import Chosen, Of, choose
from themis_plugin_stats.variance import CALLS, Components, components

__all__ = ["Forecast", "forecast"]

DIFFERENCES: Final = (0.01, 0.02, 0.05, 0.1)
"""For which the needed items are told if none is named."""
AGREEMENT: Final = 0.5


@dataclass(slots=True)
class Forecast:
    """What a comparison needs, or could show."""

    assumed: str
    """What it rests on."""
    rows: list[dict[str, Any]]
    """By pair (None without a run) and difference: `items` that find it with the power that is `wanted`, and the
    `power` that `n` items have."""
    wanted: float
    components: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By model (side): the variances, their shares, and the standard error now and after a hundred calls more. An
    `error` of 0 says that all items have the same score, not that the number is certain."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `themis power --format json` prints it."""
        return asdict(self)

    def text(self) -> str:
        """For people."""
        header = ["pair", "difference", f"items for {100 * self.wanted:g} %", "n", "power"]
        cells = [
            [
                each["pair"] or "–", f"{each['difference']:.3g}",
                "more than 10,000,000" if each["items"] is None else f"{each['items']:,}",
                "–" if each["n"] is None else f"{each['n']:,}",
                "–" if each["power"] is None else f"{each['power']:.2f}",
            ]
            for each in self.rows
        ]  # fmt: skip
        told = [self.assumed, "", *lines(header, cells, left=("pair",))]
        for name, each in self.components.items():
            if not each["error"]:
                told += [
                    "",
                    f"{name}: all its items have the same score, which does not say how far others would differ",
                ]
                continue
            shares = ", ".join(f"{what} {100 * share:.0f} %" for what, share in each["shares"].items())
            told += [
                "",
                f"{name}: its number is certain to ±{decimals(each['error'], 4)} (one standard error), from {shares}",
            ]
            best = min(each["after"], key=each["after"].get)
            after = ", ".join(f"{what} ±{decimals(error, 4)}" for what, error in each["after"].items())
            told.append(f"  {CALLS} more calls are best spent on {best}: {after}")
        return "\n".join(told)


def forecast(
    run: str | None = None,
    *,
    spec: str | Path | None = None,
    project: str | Path | None = None,
    difference: float | None = None,
    items: int | None = None,
    rate: float | None = None,
    agreement: float | None = None,
    metric: str | None = None,
    wanted: float = POWER,
) -> Forecast:
    """Say how many items find a difference with the wanted power, and what power `items` have.

    With a run, the spread is that of its sides against each other; else that of zeros and ones with the `rate` of A,
    which agree as far as `agreement` says. Raises SpecError if there is neither, or a share is not one.
    """
    for name, share in (("rate", rate), ("agreement", agreement), ("power", wanted)):
        if share is not None and not 0 <= share <= 1:
            raise SpecError(f"the {name} is {share:g}: it is a share, from 0 to 1")
    if difference is not None and not 0 < difference < inf:
        raise SpecError(f"the difference is {difference:g}: it is a number greater than 0, whichever side is better")
    if run is not None and (rate is not None or agreement is not None):
        raise SpecError("`rate` and `agreement` are assumed without a run: leave them out, or the run")
    wished = DIFFERENCES if difference is None else (difference,)
    if run is None:
        return _assumed(rate, AGREEMENT if agreement is None else agreement, wished, items, wanted)
    paths = (None if each is None else Path(each) for each in (spec, project))
    with opened([run], *paths) as stores:
        sides, collected = read_sides([run], stores, [metric] if metric else [])
        return _stored(collected[0].run, choose(sides, collected), wished, items, wanted)


def _assumed(
    rate: float | None, agreement: float, wished: Sequence[float], items: int | None, wanted: float
) -> Forecast:
    if rate is None:
        raise SpecError("name a run, or the rate of A, such as --rate 0.7, that the forecast is to rest on")
    most = max(rate, 1 - rate)
    if max(wished) > most + 1e-12:
        raise SpecError(f"the difference is {max(wished):g}: from a rate of {rate:g} it is at most {most:g}")
    told = (
        f"assumed: A is right in {100 * rate:g} % of the items; agreement {agreement:g}; zeros and ones, exact McNemar"
    )
    rows = []
    for each in wished:
        other = min(1.0, rate + each) if rate + each <= 1 + 1e-12 else max(0.0, rate - each)
        by_chance = rate * (1 - other) + other * (1 - rate)
        differing = agreement * each + (1 - agreement) * by_chance
        rows.append(_row(None, each, items, wanted, partial(power_of_mcnemar, differing=differing, difference=each)))
    return Forecast(told, rows, wanted)


def _stored(run: RunRecord, chosen: Chosen, wished: Sequence[float], items: int | None, wanted: float) -> Forecast:
    pairs, by = chosen.pairs, chosen.by
    key = next(iter(pairs[0][1][1].cells))
    span = pairs[0][0][1].span(key)
    if span is not None and max(wished) > span:
        raise SpecError(f"the difference is {max(wished):g}: of {'/'.join(key)} it is at most {span:g}")
    rows, found = [], {}
    for one, other in pairs:
        test = tested(one, other, key, by)
        label = f"{one[0].label}, {other[0].label}"
        rows += [_row(label, each, items or test.n, wanted, power_of(test, each)) for each in wished]
        for side in (one, other):
            if side[0].label not in found and (split := _components(side, key)) is not None:
                found[side[0].label] = {
                    **asdict(split), "error": split.error(), "shares": split.shares(), "after": split.after()
                }  # fmt: skip
    told = f"from {'/'.join(key)} of {run.run_id}, as its sides differ from each other"
    if run.status != "completed":
        missing = missing_of(run)
        lacking = f", and {missing} of its trials have no outcome yet" if missing else ""
        told += f"\nthe run has the status {run.status}{lacking}"
    return Forecast(told, rows, wanted, found)


def _row(
    pair: str | None, difference: float, n: int | None, wanted: float, power: Callable[[int], float]
) -> dict[str, Any]:
    return {
        "pair": pair, "difference": difference, "items": least_items(power, wanted), "n": n,
        "power": None if n is None else power(n),
    }  # fmt: skip


def _components(side: Of, key: MetricKey) -> Components | None:
    """Of the items that all prompt variants have; None if there is no such, or the number is no mean."""
    of, run = side
    cells = [(group, cell) for group, cell in run.cells[key].items() if of.has(group)]
    if _is_aggregate(run, key) or not cells:
        return None
    by_prompt: dict[str, list[Cell]] = {}
    for group, cell in cells:
        by_prompt.setdefault(group.prompt, []).append(cell)
    found = [_by_digest(each) for each in by_prompt.values()]
    common = sorted(set.intersection(*map(set, found)))
    if len(common) < 2:
        return None
    means = np.array([[of[each] for of in found] for each in common])
    columns = [cell.items.of() for _, cell in cells]
    counts, within = (np.concatenate([getattr(each, name) for each in columns]) for name in ("counts", "within"))
    several = counts > 1
    variance = float(within[several].sum() / (counts[several] - 1).sum()) if several.any() else None
    repeat, repeats = repeats_of(side, key)
    return components(means, variance, float(counts.mean()), repeat, repeats)


def _by_digest(cells: Sequence[Cell]) -> dict[bytes, float]:
    """Slices and settings of one prompt variant: each item's mean over them."""
    found: dict[bytes, list[float]] = {}
    for cell in cells:
        columns = cell.items.of()
        for digest, mean in zip(columns.digests.tolist(), columns.means.tolist(), strict=True):
            found.setdefault(digest, []).append(mean)
    return {digest: sum(means) / len(means) for digest, means in found.items()}


def _is_aggregate(run: Collected, key: MetricKey) -> bool:
    return any((score, metric) == key for _, score, metric in run.aggregates)
