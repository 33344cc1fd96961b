"""The one table of all cases, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Row", "markdown"]

HEAD = ("case", "bare loop", "Themis", "ratio", "goal", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, beside what it is compared with."""

    case: str
    """What is measured, in which unit."""
    themis: float
    bare: Mapping[str, float] = field(default_factory=dict)
    """The same of bare loops, or of what stands for one, by name; the ratio is to the first."""
    goal: float | None = None
    at_least: bool = False
    """Whether more is better."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none."""
        if self.goal is None:
            return None
        return self.themis >= self.goal if self.at_least else self.themis <= self.goal

    def cells(self) -> tuple[str, ...]:
        compared = next(iter(self.bare.values()), None)
        sign = "≥" if self.at_least else "≤"
        return (
            self.case,
            "; ".join(f"{number(value)} ({name})" for name, value in self.bare.items()) or "–",
            number(self.themis),
            f"{self.themis / compared:.2f}" if compared else "–",
            "–" if self.goal is None else f"{sign} {number(self.goal)}",
            {None: "–", True: "yes", False: "**no**"}[self.met],
        )


def number(value: float) -> str:
    """Three decimals below 1, two below 10, one below 100, none where there are none to tell."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{3 if abs(value) < 1 else 2 if abs(value) < 10 else 1}f}"


def markdown(rows: Iterable[Row]) -> str:
    lines = [HEAD, ("---", "---:", "---:", "---:", "---:", "---"), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
