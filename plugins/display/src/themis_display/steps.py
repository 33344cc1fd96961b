"""Prints the steps by which an application came to an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from themis_output import as_json, cell, echo, number, quoted
from themis_wording import counted

__all__ = ["show_steps"]

SHOWN = 50
"""Steps of a generation that are printed."""


def show_steps(steps: Sequence[Mapping[str, Any]], left_out: int) -> None:
    """One line for each step with what it took, beneath it what went in and what came out, long texts shortened."""
    for ordinal, step in enumerate(steps[:SHOWN], 1):
        name = f" {cell(step['name'])}" if step["name"] else ""
        echo(f"  step {ordinal}: {cell(step['kind'])}{name}{_took(step)}")
        if step["left_out"]:
            echo(f"    ({step['left_out']:,} bytes of input and output were too long to keep)")
        for part, mark in (("input", "→"), ("output", "←")):
            if step[part] is not None:
                text = step[part] if isinstance(step[part], str) else as_json(step[part], indent=None)
                echo(f"  {mark}{quoted(text)[3:]}")
        if step["error"] is not None:
            echo(f"    error: {cell(step['error'])}")
    if len(steps) > SHOWN:
        echo(f"  and {counted(len(steps) - SHOWN, 'more step')}; --format json has them all")
    if left_out:
        echo(f"  {counted(left_out, 'further step', 'was', 'were')} left out: there were too many to keep")


def _took(step: Mapping[str, Any]) -> str:
    usage = step["usage"]
    parts = [
        *([f"{number(step['seconds'], 3)} s"] if step["seconds"] is not None else []),
        *([f"cost {number(step['cost'])}"] if step["cost"] is not None else []),
        *(f"{count} {name.replace('_', ' ')}" for name, count in usage.items() if count is not None),
    ]
    return f" ({', '.join(parts)})" if parts else ""
