"""How far the parts of a run are, as tables and in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from themis_output import cell, echo, heading, table

if TYPE_CHECKING:
    from themis_core import PartRow

__all__ = ["show_parts", "states_of", "states_told"]

_QUIET = ("completed", "not begun")
"""States of which there is nothing to say but how many there are."""
_COLUMNS = ("part", "state", "done", "planned", "failed", "why", "at work", "since (UTC)", "note")


def states_of(parts: Sequence[PartRow]) -> dict[str, int]:
    """How many parts are in which state, and how many there are."""
    return {"of": len(parts), **Counter(each.state for each in parts)}


def states_told(states: Mapping[str, int]) -> str:
    """The same in a few words."""
    told = ", ".join(f"{count} {state}" for state, count in states.items() if state != "of" and count)
    return f"{states['of']}: {told}"


def show_parts(parts: Sequence[PartRow]) -> None:
    """The parts in a table; of those that are whole, or were never begun, only which they are."""
    if not parts:
        return
    heading(f"Parts: {states_told(states_of(parts))}")
    for state in _QUIET:
        if named := [each.part for each in parts if each.state == state and not each.failed]:
            echo(f"{state}: {_numbers(named)}")
    if rows := [_cells(each) for each in parts if each.state not in _QUIET or each.failed]:
        shown = [at for at in range(len(_COLUMNS)) if any(row[at] not in (None, "") for row in rows)]
        table([_COLUMNS[at] for at in shown], [[row[at] for at in shown] for row in rows], whole={"part", "state"})


def _cells(part: PartRow) -> list[object]:
    done = part.stored if part.stored is not None else part.progress.get("done")
    why = ", ".join(f"{code}: {count}" for code, count in part.failures.items())
    where = None if part.host is None else f"process {part.pid} on {part.host}"
    since = None if part.started_at is None else part.started_at[:19].replace("T", " ")
    note = cell(part.progress.get("note") or "")
    return [part.part, part.state, done, part.planned, part.failed, why, where, since, "" if note == "–" else note]


def _numbers(names: Sequence[str]) -> str:
    """`1-3, 7 of 16` for shards; the names of workers."""
    workers = [name for name in names if "/" not in name]
    numbers = [int(name.partition("/")[0]) for name in names if "/" in name]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    listed = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    of = next((name.partition("/")[2] for name in names if "/" in name), "")
    return "; ".join(filter(None, [f"{listed} of {of}" if listed else "", ", ".join(workers)]))
