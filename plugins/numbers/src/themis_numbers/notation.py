"""How numbers are written: the settings that extractors and metrics share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Notation"]


@dataclass(frozen=True, slots=True)
class Notation:
    """How numbers are written: the settings that extractors and metrics share."""

    decimal: Literal[".", ","] = "."
    scale_words: bool = True
    percent_as_fraction: bool = False
    fractions: bool = True
