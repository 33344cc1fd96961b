"""Plots of judges against the labels that people gave: how reliable their values are, and what corrects them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from themis_labels import Corrected, JudgeMeasurement
from themis_plugin_report.drawing import COLOURS, Plot, drawn, short
from themis_plugin_report.gathering import Gathered

__all__ = ["judge_plots"]

MOST_ROWS = 60


def judge_plots(made: Gathered) -> list[Plot]:
    """Of each judge that was measured: its reliability, and the means that its errors correct, if there are any."""
    found = []
    for run_id, each in made.measured:
        title = f"{each.score}/{each.metric}" + (f" ({run_id})" if len(made.runs) > 1 else "")
        if each.reliability:
            found.append(_reliability(title, each))
        if rows := [row for row in each.corrected if row.n and row.corrected.value is not None]:
            found.append(_corrected(title, rows))
    return found


def _reliability(title: str, measured: JudgeMeasurement) -> Plot:
    """What people gave the answers to which the judge gave a value, against the diagonal."""
    bands = measured.reliability
    ends = [
        value
        for band in bands
        for value in (band.judge, band.human.value, band.human.low, band.human.high)
        if value is not None
    ]
    room = 0.06 * (max(ends) - min(ends)) or 0.5
    span = (min(ends) - room, max(ends) + room)

    def draw(axes: Any) -> None:
        axes.plot(span, span, linestyle="--", linewidth=1, color="#888888", label="perfect agreement")
        for band in bands:
            assert band.human.value is not None
            low, high = band.human.low, band.human.high
            reach = [[0.0], [0.0]] if low is None or high is None else _reach(band.human.value, low, high)
            axes.errorbar(band.judge, band.human.value, yerr=reach, fmt="o", color=COLOURS[0], capsize=3, markersize=6)
            beside = {"xytext": (7, -3), "textcoords": "offset points", "fontsize": 8}
            axes.annotate(f"n = {band.n}", (band.judge, band.human.value), **beside)
        axes.set_xlim(*span)
        axes.set_ylim(*span)
        axes.set_box_aspect(1)
        axes.grid(axis="y", alpha=0.15)
        axes.set_xlabel(f"value of {short(title)}")
        axes.set_ylabel("mean of people's labels, 95 % interval")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8)

    told = "; ".join(f"{band.judge:.3g}: people {band.human.value:.3f}, n = {band.n}" for band in bands)
    return drawn(f"{title}: reliability", f"{title}: reliability: {told}", 4.4, draw)


def _reach(value: float, low: float, high: float) -> list[list[float]]:
    return [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def _corrected(title: str, rows: Sequence[Corrected]) -> Plot:
    """The judge's mean of each model, and what people would have given."""
    shown = list(reversed(rows[:MOST_ROWS]))
    names = _names(shown)

    def draw(axes: Any) -> None:
        for at, row in enumerate(shown):
            assert row.corrected.value is not None
            known = row.corrected.low is not None and row.corrected.high is not None
            reach = _reach(row.corrected.value, row.corrected.low, row.corrected.high) if known else [[0.0], [0.0]]  # type: ignore[arg-type]
            corrected = "corrected, 95 % interval" if at == 0 else None
            axes.errorbar(
                row.corrected.value, at, xerr=reach, fmt="o", color=COLOURS[0], capsize=3, markersize=6, label=corrected
            )
            judge = "the judge's own mean" if at == 0 else None
            axes.plot(row.judge_mean, at, "D", color=COLOURS[1], fillstyle="none", markersize=6, label=judge)
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel(f"{short(title)}, of answers without a label")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)

    told = "; ".join(
        f"{name} {row.judge_mean:.3f}, corrected {row.corrected.value:.3f}"
        for name, row in zip(reversed(names), reversed(shown), strict=True)
    )
    return drawn(f"{title}: corrected", f"{title}: corrected: {told}", 1.3 + 0.42 * len(shown), draw)


def _names(rows: Sequence[Corrected]) -> list[str]:
    """The model, and what else tells a row from the others."""
    names = ("slice_id", "prompt_variant_id", "params")
    several = [name for name in names if len({getattr(row, name) for row in rows}) > 1]
    return [short(" · ".join([row.model_id, *(getattr(row, name) for name in several)])) for row in rows]
