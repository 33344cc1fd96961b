"""Numbers of a spec as their places want them, and at which place one is unclear."""

from __future__ import annotations

from typing import Any, Final

from themis_core.reading.places import Place
from themis_documents import numbers

__all__ = ["as_meant"]

_CONFIGS: Final = frozenset({"extras", "config", "overrides"})
"""Fields that hold a component's config or parameters, whose class is not known yet."""


def as_meant(data: Any, wanted: Any, place: Place, *, free: type = str) -> Any:
    """`themis_documents.numbers.as_meant` for the data of a place. Raises SpecError."""
    try:
        return numbers.as_meant(data, wanted, free=free, later=_CONFIGS)
    except numbers.UnclearNumber as error:
        raise place.at(*error.loc).error(str(error)) from error
