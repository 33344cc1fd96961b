"""Pictures as SVG that needs no script: one for light pages and paper, one for dark pages.

Names are plain text in them, whatever they hold: nothing is read as a formula.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure  # without pyplot, which keeps figures and looks for a screen

from themis_output import safe

__all__ = ["COLOURS", "MARKERS", "Plot", "drawn", "short"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Paul Tol's "bright" scheme, which colour-blind readers can tell apart."""
MARKERS = "osD^vP*"
LONGEST_NAME = 36


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture in both themes, as data URLs."""

    title: str
    alt: str
    light: str
    dark: str


def drawn(title: str, alt: str, height: float, draw: Callable[[Any], None]) -> Plot:
    """What `draw` draws on the axes of a picture of this height, in inches."""
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


def short(name: str) -> str:
    """One short line that XML can hold."""
    text = " ".join(safe(name).encode("utf-8", "replace").decode().split())
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
