"""What is asked of those who bring calls, prices and bounds: their classes are their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Bounds", "Call", "Price", "Rates"]


class Bounds(Protocol):
    """What may be spent; None for what is not bounded."""

    @property
    def max_calls(self) -> int | None: ...

    @property
    def max_cost(self) -> float | None: ...


class Call(Protocol):
    """A request of a model."""

    @property
    def model_id(self) -> str: ...

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """Each with a `content`: a text, or a list of parts with a `type`."""

    @property
    def params(self) -> Mapping[str, Any]:
        """As chat completions take them: `max_tokens`, `n`, `extra_body`."""


class Rates(Protocol):
    """Prices of a million tokens, by what is done with them; None where there is no price apart."""

    @property
    def input_per_million(self) -> float: ...

    @property
    def output_per_million(self) -> float: ...

    @property
    def cached_input_per_million(self) -> float | None: ...

    @property
    def cache_write_per_million(self) -> float | None: ...

    @property
    def input_audio_per_million(self) -> float | None: ...

    @property
    def reasoning_per_million(self) -> float | None: ...


class Price(Rates, Protocol):
    """What the tokens of one model cost."""

    @property
    def tiers(self) -> Sequence[Rates]:
        """Other prices for requests with longer prompts."""

    def rates(self, input_tokens: int) -> Rates:
        """The prices of a request with so many input tokens."""
