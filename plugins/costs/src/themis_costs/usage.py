"""What one call used, as its provider counted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from themis_plain import quick

__all__ = ["Usage"]


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one call; None where the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Those of the input that were read from the provider's cache."""
    cache_write_tokens: int | None = None
    """Those of the input that were written to it."""

    def __deepcopy__(self, memo: Any) -> Usage:
        return self  # nothing in it can be changed
