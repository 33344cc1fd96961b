"""Plots of values with their intervals: of each score, and of groups of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from themis_intervals import decimals
from themis_plugin_report.drawing import COLOURS, MARKERS, Plot, drawn, short
from themis_plugin_report.gathering import Gathered, named
from themis_plugin_report.names import name_of_row

__all__ = ["plots"]

MOST_ROWS = 60
"""Rows of one plot; the table has all of them."""


class Point(NamedTuple):
    """One value with its interval."""

    series: str
    """Whose it is: a model, and what else tells it from others."""
    group: str
    value: float
    low: float | None
    high: float | None


def plots(made: Gathered) -> tuple[list[Plot], list[Plot]]:
    """The forest plots, one for each score, and those by slice, dimension and metadata, where there are several."""
    forests, by_group = [], []
    names = list(dict.fromkeys((row.score, row.metric) for result in made.results for row in result.scores))
    for score, metric in names:
        title = score if len(names) == 1 else f"{score} ({metric})"
        points = _points(made, score, metric)
        if len({each.group for each in points}) == 1:
            forests.append(_forest(title, points))
        elif points:
            by_group.append(_by_group(title, "slice", points))
        by_group += [
            _by_group(title, named(name, made.groups), in_groups)
            for name in made.groups
            if (in_groups := _points_in_groups(made, name, score, metric))
        ]
    return forests, by_group


def _points(made: Gathered, score: str, metric: str) -> list[Point]:
    """The values of one score, by slice."""
    rows = [
        (_named(made, row.model_id, result.run_id), row)
        for result in made.results
        for row in result.scores
        if (row.score, row.metric) == (score, metric)
    ]
    return [
        Point(
            short(name_of_row(row, [other for _, other in rows], name)),
            short(row.slice_id),
            row.value,
            row.low,
            row.high,
        )
        for name, row in rows
        if row.value is not None
    ]


def _points_in_groups(made: Gathered, name: str, score: str, metric: str) -> list[Point]:
    return [
        Point(
            short(_named(made, row.group["model"] or "–", run_id)),
            short(row.group[name] or "–"),
            row.value,
            row.low,
            row.high,
        )
        for run_id, row in made.groups[name]
        if (row.score, row.metric) == (score, metric) and row.value is not None
    ]


def _named(made: Gathered, model: str, run_id: str) -> str:
    return model if len(made.runs) == 1 else f"{model} ({run_id})"


def _forest(title: str, points: Sequence[Point]) -> Plot:
    """Values of one score as dots with their intervals, the highest on top."""
    ordered = sorted(points, key=lambda each: each.value)[-MOST_ROWS:]

    def draw(axes: Any) -> None:
        for at, each in enumerate(ordered):
            left, right = _whiskers(each)
            axes.errorbar(each.value, at, xerr=[[left], [right]], fmt="o", color=COLOURS[0], capsize=3, markersize=6)
            above = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "fontsize": 8}
            axes.annotate(decimals(each.value), (each.value, at), **above)
        axes.set_yticks(range(len(ordered)), [each.series for each in ordered])
        axes.set_ylim(-0.6, len(ordered) - 0.2)
        axes.set_xlabel(f"{short(title)}, with 95 % interval")

    alt = "; ".join(f"{each.series} {decimals(each.value)}" for each in reversed(ordered))
    return drawn(title, f"{title}: {alt}", 1.0 + 0.42 * len(ordered), draw)


def _by_group(title: str, kind: str, points: Sequence[Point]) -> Plot:
    """One line per group, in it one dot per series."""
    shown = list(reversed(list(dict.fromkeys(each.group for each in points))[:MOST_ROWS]))
    series = list(dict.fromkeys(each.series for each in points))
    step = 0.6 / max(len(series), 1)

    def draw(axes: Any) -> None:
        for number, label in enumerate(series):
            mine = [each for each in points if each.series == label and each.group in shown]
            axes.errorbar(
                [each.value for each in mine],
                [shown.index(each.group) + 0.3 - step * (number + 0.5) for each in mine],
                xerr=[list(side) for side in zip(*map(_whiskers, mine), strict=True)] or None,
                label=label, capsize=2, markersize=5,
                fmt=MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)],
            )  # fmt: skip
        axes.set_yticks(range(len(shown)), shown)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel(f"{short(title)} by {short(kind)}, with 95 % intervals")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)

    height = 1.2 + 0.09 * len(series) + max(0.35, 0.16 * len(series)) * len(shown)
    return drawn(f"{title} by {kind}", f"{title} by {kind}: the table has the values", height, draw)


def _whiskers(point: Point) -> tuple[float, float]:
    """How far the interval reaches to the left and right; a jackknife's may leave the value outside by a hair."""
    if point.low is None or point.high is None:
        return 0.0, 0.0
    return max(point.value - point.low, 0.0), max(point.high - point.value, 0.0)
