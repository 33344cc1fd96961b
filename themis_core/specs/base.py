"""What every spec has in common: strictness, canonical form, digest.

It knows no single spec class.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from themis_plain import digest

__all__ = ["Spec"]


class Spec(BaseModel):
    """Base of all spec classes: frozen, unknown keys refused, NaN and infinities refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    def canonical(self) -> dict[str, Any]:
        """The spec as plain data, defaults included, fit for `digest`."""
        return self.model_dump(mode="json", by_alias=True)

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the spec."""
        return digest(self.canonical())
