"""What all rows of a table share is said once, above it, so that the rest is narrower. It prints nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from themis_output.printing import cell

__all__ = ["crossed", "told_once"]


def told_once(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    names: Collection[str],
    zeros: Collection[str] = (),
    lists: str = "",
    unsaid: Mapping[str, str] | None = None,
) -> tuple[list[str], list[str], list[list[Any]]]:
    """Split a table: a line of what all rows share (none if that is nothing), then columns and rows of the rest.

    Shared are the columns in `names` that are equal in all rows, and those in `zeros` that are "0" in all. In the
    column `lists`, whose cells are texts such as `a=1, b=2`, it is each part that all rows have. The values in
    `unsaid`, by column, leave the table without being said.
    """
    told, kept_rows = [], [list(row) for row in rows]
    if lists and (parts := _take_common_parts(kept_rows, columns.index(lists))):
        told.append(f"{lists} {cell(parts)}")
    shared = {
        name: values[0]
        for name, values in zip(columns, zip(*kept_rows, strict=True), strict=bool(rows))
        if all(each == values[0] for each in values) and (name in names or (name in zeros and values[0] == "0"))
    }
    told += [
        f"{cell(value)} {name}" if name in zeros else f"{name} {cell(value)}"
        for name, value in shared.items()
        if (unsaid or {}).get(name) != value
    ]
    kept = [index for index, name in enumerate(columns) if name not in shared]
    return (
        [f"all rows: {', '.join(told)}"] if told else [],
        [columns[index] for index in kept],
        [[row[index] for index in kept] for row in kept_rows],
    )


def crossed(
    columns: Sequence[str], cells: Sequence[tuple[Sequence[str], str, str]]
) -> tuple[list[str], list[list[str]]]:
    """A table whose cells come one by one, each with what its row begins with and the name of its column.

    Rows and further columns are in the order in which they first come. Where there is no cell is a dash.
    """
    further = list(dict.fromkeys(name for _, name, _ in cells))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for begins, name, text in cells:
        rows.setdefault(tuple(begins), {})[name] = text
    return [*columns, *further], [[*begins, *(of.get(name, "–") for name in further)] for begins, of in rows.items()]


def _take_common_parts(rows: Sequence[list[Any]], at: int) -> str:
    """Take the parts that all rows have out of a column, if others differ, and return them."""
    parts = [str(row[at]).split(", ") for row in rows]
    common = [each for each in parts[0] if all(each in others for others in parts)] if rows else []
    if not common or all(each == parts[0] for each in parts):
        return ""
    for row, of_row in zip(rows, parts, strict=True):
        row[at] = ", ".join(each for each in of_row if each not in common) or "–"
    return ", ".join(common)
