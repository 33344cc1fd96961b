"""What every spec has in common: strictness, canonical form, digest.

It knows no single spec class.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from themis_plain import digest

__all__ = ["Loc", "Spec", "mistake"]

Loc = tuple[str | int, ...]


def mistake(loc: Loc, message: str) -> PydanticCustomError:
    """What a validator of a whole spec raises for a part of it, with the way to that part.

    Pydantic places an error of such a validator at the model itself: the rest of the way goes along in the context.
    """
    return PydanticCustomError("spec", "{text}", {"text": message, "at": list(loc)})


class Spec(BaseModel):
    """Base of all spec classes: frozen, unknown keys refused, NaN and infinities refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    def canonical(self) -> dict[str, Any]:
        """The spec as plain data, defaults included, fit for `digest`."""
        return self.model_dump(mode="json", by_alias=True)

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the spec."""
        return digest(self.canonical())
