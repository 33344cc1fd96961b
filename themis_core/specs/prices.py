"""Specs of what models cost: the prices of one, and tables of many."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from themis_core.specs.base import Spec

__all__ = ["PriceSpec", "PriceTableSpec", "PriceTierSpec", "PricesSpec"]


class _Rates(Spec):
    """Prices of a million tokens, by what is done with them."""

    input_per_million: float = Field(ge=0, description="Price of a million input tokens.")
    output_per_million: float = Field(
        ge=0, description="Price of a million output tokens, reasoning included where that has no price of its own."
    )
    cached_input_per_million: float | None = Field(
        None,
        ge=0,
        description="Price of a million input tokens read from the provider's cache.",
    )
    cache_write_per_million: float | None = Field(
        None, ge=0, description="Price of a million input tokens written to it; by default that of input tokens."
    )
    input_audio_per_million: float | None = Field(
        None,
        ge=0,
        description="Price of a million input tokens of sound, where it is another one. What a request with sound cost "
        "is then unknown, as tokens are counted together: it is told as the most that it can be.",
    )
    reasoning_per_million: float | None = Field(
        None,
        ge=0,
        description="Price of a million output tokens of reasoning, where it is another one. A call whose reply does "
        "not count them then has an unknown cost.",
    )


class PriceTierSpec(_Rates):
    """Prices of requests with a long prompt, for all of their tokens."""

    above_input_tokens: int = Field(ge=1, description="They hold for requests with more input tokens than this.")


class PriceSpec(_Rates):
    """What a model's tokens cost, for plans, budgets and cost accounts. One currency per benchmark."""

    tiers: list[PriceTierSpec] = Field(
        default_factory=list, description="Other prices for requests with longer prompts; the longest that fits counts."
    )
    batch: float | None = Field(
        None,
        gt=0,
        le=1,
        description="What a request costs that is answered as one of a batch, as a share of these prices: 0.5 is half. "
        "Not known if it is absent.",
    )

    @model_validator(mode="after")
    def _tiers_differ(self) -> PriceSpec:
        bounds = [each.above_input_tokens for each in self.tiers]
        if len({*bounds}) < len(bounds):
            raise ValueError("tiers: two of them begin at the same number of input tokens")
        return self

    def rates(self, input_tokens: int) -> PriceSpec | PriceTierSpec:
        """The prices of a request with so many input tokens."""
        fitting = [each for each in self.tiers if input_tokens > each.above_input_tokens]
        return max(fitting, key=lambda each: each.above_input_tokens) if fitting else self

    def in_batch(self) -> PriceSpec | None:
        """The prices of a request of a batch; None if they are not known."""
        share = self.batch
        if share is None:
            return None

        def reduced(rates: dict[str, Any]) -> dict[str, Any]:
            return {
                name: value * share if name.endswith("_per_million") and value is not None else value
                for name, value in rates.items()
            }

        data = reduced(self.model_dump(exclude={"batch"}))
        return PriceSpec.model_validate({**data, "tiers": [reduced(each) for each in data["tiers"]]})


class PriceTableSpec(Spec):
    """Prices of models, as a file of them holds: it may have those of many models that a benchmark does not ask."""

    currency: str | None = Field(None, min_length=1, description="The currency of the prices, such as `USD`; recorded.")
    models: dict[str, PriceSpec] = Field(
        default_factory=dict,
        description="Prices by model. A name is looked for in this order: the model's label; its engine and the name "
        "that its server is sent, `openai/chat/gpt-5` or `openai/gpt-5`; that name alone.",
    )


class PricesSpec(PriceTableSpec):
    """Where prices of models come from. They change no result, and are in no identity.

    A model's own `price` goes before all of these, what stands here before a file, and a file before a table.
    """

    file: str | None = Field(
        None, min_length=1, description="A file of prices, relative to the spec file: a mapping with `models`."
    )
    table: str | None = Field(
        None,
        alias="from",
        min_length=1,
        description="A public table of prices that a plugin brings, `namespace/name`, such as `prices/genai`.",
    )
    model_config = {"populate_by_name": True}

    @model_validator(mode="before")
    @classmethod
    def _file_alone(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_an_origin(self) -> PricesSpec:
        if self.file is None and self.table is None and not self.models:
            raise ValueError("it has no prices: name a `file`, a table (`from`), or write `models`")
        return self
