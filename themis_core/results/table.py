"""The scores of a result as a table of texts, with what all rows share above it."""

from __future__ import annotations

from collections.abc import Sequence

from themis_core.results.row import ResultRow
from themis_intervals import shown
from themis_output import lines, told_once

__all__ = ["as_text", "scores_told"]

HEADER = (
    "slice", "model", "prompt", "params", "score", "metric",
    "value", "95 % interval", "method", "n", "unparsed", "unscored", "failed",
)  # fmt: skip
_COUNTS = HEADER[-3:]
_SHARED = (*HEADER[:4], "method")
_TEXTS = (*HEADER[:6], "method")


def scores_told(rows: Sequence[ResultRow]) -> tuple[list[str], list[str], list[list[str]]]:
    """A line of what all rows share (if there is any), then header and cells of the rest.

    Shared are names, methods and parameters that are equal in all rows, and counts that are zero in all. Nothing is
    left out but `default` parameters.
    """
    cells = [_cells(row) for row in rows]
    return told_once(HEADER, cells, names=_SHARED, zeros=_COUNTS, lists="params", unsaid={"params": "default"})


def as_text(rows: Sequence[ResultRow]) -> str:
    """The table as plain text, its numbers to the right."""
    above, header, cells = scores_told(rows)
    return "\n".join([*above, *lines(header, cells, left=_TEXTS)])


def _cells(row: ResultRow) -> list[str]:
    """One row's cells under `HEADER`; what is absent is a dash, never a zero."""
    value = "–" if row.value is None else f"{row.value:.4f}"
    return [
        row.slice_id, row.model_id, row.prompt_variant_id, row.params, row.score, row.metric,
        value, shown(row.low, row.high), row.interval or row.no_interval or "–",
        str(row.n), str(row.unparsed), str(row.unscored), str(row.failed),
    ]  # fmt: skip
