"""Plots of values with their intervals, as SVG that needs no script: one for light pages and paper, one for dark pages.

Names are plain text in them, whatever they hold: nothing is read as a formula.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure  # without pyplot, which keeps figures and looks for a screen

from themis_core import ResultRow
from themis_output import safe
from themis_plugin_report.gathering import Gathered

__all__ = ["Plot", "plots"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Paul Tol's "bright" scheme, which colour-blind readers can tell apart."""
MARKERS = "osD^vP*"
LONGEST_NAME = 36
MOST_ROWS = 60
"""Rows of one plot; the table has all of them."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture in both themes, as data URLs."""

    title: str
    alt: str
    light: str
    dark: str


def plots(made: Gathered) -> tuple[list[Plot], list[Plot]]:
    """The forest plots, one for each score, and the plots by group, one for each score and dimension that there is."""
    forests, groups = [], []
    names = list(dict.fromkeys((row.score, row.metric) for result in made.results for row in result.scores))
    several = len(made.results) > 1
    for score, metric in names:
        rows = [
            (f"{row.model_id} ({result.run_id})" if several else row.model_id, row)
            for result in made.results
            for row in result.scores
            if (row.score, row.metric) == (score, metric) and row.value is not None
        ]
        title = score if len(names) == 1 else f"{score} ({metric})"
        slices = list(dict.fromkeys(row.slice_id for _, row in rows))
        if not rows:
            continue
        if len(slices) == 1:
            forests.append(_forest(title, rows))
        else:
            groups.append(_by_group(title, "slice", slices, rows, lambda row: row.slice_id))
    return forests, groups


def _forest(title: str, rows: Sequence[tuple[str, ResultRow]]) -> Plot:
    """Values of one score as dots with their intervals, best known on top."""
    ordered = sorted(rows, key=lambda each: each[1].value or 0.0)[-MOST_ROWS:]
    labels = [_label(name, row, rows) for name, row in ordered]

    def draw(axes: Any) -> None:
        for at, (_, row) in enumerate(ordered):
            axes.errorbar(row.value, at, xerr=_whiskers(row), fmt="o", color=COLOURS[0], capsize=3, markersize=6)
            axes.annotate(
                f"{row.value:.3f}", (row.value, at), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8
            )
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(-0.6, len(labels) - 0.2)
        axes.set_xlabel(f"{_text(title)}, with 95 % interval")

    alt = "; ".join(f"{name} {row.value:.3f}" for name, row in reversed(ordered))
    return _plot(title, f"{title}: {alt}", 1.0 + 0.42 * len(labels), draw)


def _by_group(
    title: str,
    kind: str,
    groups: Sequence[str],
    rows: Sequence[tuple[str, ResultRow]],
    group_of: Callable[[ResultRow], str],
) -> Plot:
    """One line per group, in it one dot per system."""
    shown = list(reversed(groups[:MOST_ROWS]))
    series = list(dict.fromkeys(_label(name, row, rows) for name, row in rows))
    step = 0.6 / max(len(series), 1)

    def draw(axes: Any) -> None:
        for number, label in enumerate(series):
            mine = [row for name, row in rows if _label(name, row, rows) == label and group_of(row) in shown]
            at = [shown.index(group_of(row)) + 0.3 - step * (number + 0.5) for row in mine]
            whiskers = [list(side) for side in zip(*(_whiskers(row, flat=True) for row in mine), strict=True)]
            axes.errorbar(
                [row.value for row in mine], at, xerr=whiskers or None, label=label, capsize=2, markersize=5,
                fmt=MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)],
            )  # fmt: skip
        axes.set_yticks(range(len(shown)), [_text(each) for each in shown])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel(f"{_text(title)} by {kind}, with 95 % intervals")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)

    height = 1.2 + 0.18 * len(series) / 2 + max(0.35, 0.16 * len(series)) * len(shown)
    return _plot(f"{title} by {kind}", f"{title} by {kind}: the table has the values", height, draw)


def _whiskers(row: ResultRow, *, flat: bool = False) -> Any:
    """How far the interval reaches to the left and right; a jackknife's may leave the value outside by a hair."""
    if row.low is None or row.high is None or row.value is None:
        return (0.0, 0.0) if flat else None
    ends = (max(row.value - row.low, 0.0), max(row.high - row.value, 0.0))
    return ends if flat else [[ends[0]], [ends[1]]]


def _label(name: str, row: ResultRow, rows: Sequence[tuple[str, ResultRow]]) -> str:
    more = [
        str(getattr(row, each))
        for each in ("prompt_variant_id", "params")
        if len({getattr(other, each) for _, other in rows}) > 1
    ]
    return _text(" · ".join([name, *more]))


def _text(name: str) -> str:
    """One short line that XML can hold."""
    text = " ".join(safe(name).encode("utf-8", "replace").decode().split())
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def _plot(title: str, alt: str, height: float, draw: Callable[[Any], None]) -> Plot:
    light, dark = (_svg(height, draw, ink) for ink in ("#1c2430", "#e6e9ee"))
    return Plot(title, alt[:2000], light, dark)


def _svg(height: float, draw: Callable[[Any], None], ink: str) -> str:
    style: Any = {
        "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "themis", "font.size": 9,
        "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "text.color": ink, "axes.labelcolor": ink,
        "axes.edgecolor": ink, "xtick.color": ink, "ytick.color": ink, "axes.grid": True, "axes.grid.axis": "x",
        "grid.color": ink, "grid.alpha": 0.15, "axes.spines.top": False, "axes.spines.right": False,
        "axes.spines.left": False, "ytick.major.size": 0, "legend.labelcolor": ink,
    }  # fmt: skip
    with rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that its font lacks, and the reader's may have
        figure = Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue().encode()).decode()}"
