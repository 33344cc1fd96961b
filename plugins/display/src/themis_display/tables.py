"""The numbers of a result as tables of texts, with what all rows share above them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from themis_display.shapes import Row
from themis_intervals import decimals, shown
from themis_output import crossed, lines, told_once

__all__ = ["NAMES", "TEXTS", "Told", "as_text", "columns_of", "crossed_by_model", "scores_told"]

NAMES = ("slice", "model", "prompt", "params")
NUMBERS = ("value", "95 % interval", "method", "n", "of planned", "means", "unparsed", "unscored", "failed")
TEXTS = ("score", "metric", "method", "means")
_COUNTS = NUMBERS[-3:]
ALL = "all"
"""What stands for a name that a total lacks."""
_NONE = "–"
"""What stands for a name of which the trials have no value."""
_UNSAID = {"params": "default", "means": "scored", "of planned": "–"}

Told = tuple[list[str], list[str], list[list[str]]]
"""Lines above a table, its header, its cells."""


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The names that rows are grouped by."""
    return list(dict.fromkeys(name for row in rows for name in row.group))


def scores_told(rows: Sequence[Row], *, grouped: bool = False) -> Told:
    """A line of what all rows share (if there is any), then header and cells of the rest.

    Rows that are `grouped` may share their score and metric as well.

    Shared are names, methods and parameters that are equal in all rows, and counts that are zero in all. Nothing is
    left out but `default` parameters, means of all that is scored, and a plan of which nothing is missing.
    """
    names = columns_of(rows)
    header = [*names, "score", "metric", *NUMBERS]
    labels = _labels(rows, names)
    cells = [[*of, row.score, row.metric, *_cells(row)] for of, row in zip(labels, rows, strict=True)]
    return told_once(
        header,
        cells,
        names=(*names, *(("score", "metric") if grouped else ()), "method", "of planned", "means"),
        zeros=_COUNTS,
        lists="params" if "params" in names else "",
        unsaid=_UNSAID,
    )


def crossed_by_model(rows: Sequence[Row]) -> Told | None:
    """The same with a column for each model; None if there is one model, or the rows' means are not of one kind.

    A cell is a value with its interval, and how many scores it is of where that differs between models or some are
    missing. `unparsed` is of all models.
    """
    names = columns_of(rows)
    models = {row.group.get("model") for row in rows}
    if len(models) < 2 or None in models or len({row.denominator for row in rows}) > 1:
        return None
    others = [name for name in names if name != "model"]
    together: dict[tuple[str, ...], list[Row]] = {}
    for labels, row in zip(_labels(rows, others), rows, strict=True):
        together.setdefault((*labels, row.score, row.metric), []).append(row)
    cells = [
        ([*place, *_of_all(each)], row.group["model"] or "", _told(row, with_n=_of_all(each)[0] == "–"))
        for place, each in together.items()
        for row in each
    ]
    header, rest = crossed([*others, "score", "metric", "n", "unparsed"], cells)
    return told_once(
        header,
        rest,
        names=(*others, "score", "metric", "n"),
        zeros=("unparsed",),
        lists="params" if "params" in others else "",
        unsaid={**_UNSAID, "n": "–"},
    )


def _of_all(rows: Sequence[Row]) -> tuple[str, str]:
    """How many scores each of the rows is of, a dash if that differs, and how many are unparsed in all of them."""
    counts = {row.n for row in rows}
    return str(counts.pop()) if len(counts) == 1 else "–", str(sum(row.unparsed for row in rows))


def as_text(rows: Sequence[Row]) -> str:
    """The table as plain text, its numbers to the right."""
    above, header, cells = scores_told(rows)
    return "\n".join([*above, *lines(header, cells, left=(*columns_of(rows), *TEXTS))])


def _labels(rows: Sequence[Row], names: Sequence[str]) -> list[list[str]]:
    """Those of each row; in quotes where another group would be called the same."""
    taken = {"", _NONE, *(ALL for row in rows if any(name not in row.group for name in names))}
    return [[_label(row.group[name], taken) if name in row.group else ALL for name in names] for row in rows]


def _label(label: str | None, taken: Collection[str]) -> str:
    return _NONE if label is None else f'"{label}"' if label in taken else label


def _cells(row: Row) -> list[str]:
    """One row's cells under `NUMBERS`; what is absent is a dash, never a zero."""
    return [
        _value(row), shown(row.low, row.high), row.interval or row.no_interval or "–", str(row.n), _planned(row),
        row.denominator, str(row.unparsed), str(row.unscored), str(row.failed),
    ]  # fmt: skip


def _value(row: Row) -> str:
    return "–" if row.value is None else decimals(row.value, 4)


def _planned(row: Row) -> str:
    """How many were planned, and what the missing ones leave; a dash if none is missing."""
    if row.planned is None or row.planned == row.n:
        return "–"
    return str(row.planned) if row.worst is None or row.best is None else f"{row.planned}: {_range(row)}"


def _range(row: Row) -> str:
    return f"{row.worst:.2f} to {row.best:.2f}"


def _told(row: Row, *, with_n: bool) -> str:
    value = "–" if row.value is None else decimals(row.value)
    interval = "" if row.low is None else f" {shown(row.low, row.high)}"
    why = f" {row.no_interval}" if row.value is None and row.no_interval else ""
    missing = _planned(row)
    ledger = f" ({row.n} of {missing})" if missing != "–" else f" (n {row.n})" if with_n else ""
    return f"{value}{interval}{why}{ledger}"
