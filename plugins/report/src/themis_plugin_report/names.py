"""How a row of results is called in verdicts and plots: by its model, and by what else tells it from the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from themis_core import ResultRow

__all__ = ["name_of_group", "name_of_row"]

T = TypeVar("T")
_RECORDED = ("recorded",) * 3
"""What stands for model, prompt and parameters where the data holds the answers."""


def name_of_row(row: ResultRow, rows: Sequence[ResultRow], model: str | None = None) -> str:
    """The model, or what it is called here, with its prompt and parameters if they differ among the rows.

    Answers that the data holds have neither, so they do not make those of the models differ.
    """
    named = model or row.model_id
    if _system(row) == _RECORDED:
        return named
    asked = [_system(each) for each in rows if _system(each) != _RECORDED]
    return " · ".join([named, *_differing(_system(row)[1:], [each[1:] for each in asked])])


def name_of_group(group: Mapping[str, str | None], groups: Sequence[Mapping[str, str | None]]) -> str:
    """The model, if groups have one, and the other parts that differ among the groups; `The run` if there is none."""
    others = [name for name in group if name != "model"]
    differing = _differing([group[name] for name in others], [[each[name] for name in others] for each in groups])
    return " · ".join(part for part in (group.get("model"), *differing) if part) or "The run"


def _system(row: ResultRow) -> tuple[str, str, str]:
    return row.model_id, row.prompt_variant_id, row.params


def _differing(own: Iterable[T], all_parts: Sequence[Sequence[T]]) -> list[T]:
    return [part for part, of_all in zip(own, zip(*all_parts, strict=True), strict=True) if len(set(of_all)) > 1]
