"""The table of the package `genai-prices`, as prices of Themis. What it says in a way that these can't is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from themis_core import PriceSpec, PriceTable, SpecError

__all__ = ["GenaiPrices"]

RATES: Final = {
    "input_per_million": ("input_mtok",),
    "output_per_million": ("output_mtok",),
    "cached_input_per_million": ("cache_read_mtok",),
    "cache_write_per_million": ("cache_write_mtok", "cache_write_5m_mtok"),
    "input_audio_per_million": ("input_audio_mtok",),
    "reasoning_per_million": ("output_reasoning_mtok",),
}
"""Field of a price to the keys of the table that may hold it."""
NOT_BY_TOKENS: Final = ("requests_kcount", "input_mchars", "audio_hours", "input_audio_hours")
"""Keys of what every request costs beside its tokens: a price that left it out would be too low."""
BATCH: Final = {"processing": "batch"}


class GenaiPrices(PriceTable):
    """List prices by the address of the server and the model's name. The table is part of the package: no network."""

    currency = "USD"

    def __init__(self) -> None:
        try:
            from genai_prices.data_snapshot import get_snapshot
        except ImportError as error:
            told = f"prices/genai needs the package genai-prices ({error}): pip install 'themis-plugin-prices[genai]'"
            raise SpecError(told) from error
        self._snapshot = get_snapshot()

    @property
    def version(self) -> str:
        try:
            return f"genai-prices {version('genai-prices')}"
        except PackageNotFoundError:
            return "genai-prices, of an unknown version"

    def price(self, model: str, provider: str, endpoint: str) -> PriceSpec | None:
        """The list price today. The server says whose price it is: one on this machine has none."""
        try:
            _, found = self._snapshot.find_provider_model(model, None, None, endpoint)
        except LookupError:
            return None
        if _changes_by_the_hour(found.prices):
            return None
        now = datetime.now(UTC)
        standard = _given(found.get_prices(now))
        if not {"input_mtok", "output_mtok"} <= standard.keys() or not standard.keys().isdisjoint(NOT_BY_TOKENS):
            return None
        starts = sorted({tier.start for each in standard.values() for tier in getattr(each, "tiers", ())})
        return PriceSpec.model_validate(
            {
                **_rates(standard, 0),
                "tiers": [{"above_input_tokens": start, **_rates(standard, start + 1)} for start in starts],
                "batch": _share(standard, _given(found.get_prices(now, BATCH))),
            }
        )


def _changes_by_the_hour(prices: Any) -> bool:
    return isinstance(prices, list) and any(type(each.constraint).__name__ == "TimeOfDateConstraint" for each in prices)


def _given(price: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(price).items() if value is not None}


def _rates(prices: Mapping[str, Any], input_tokens: int) -> dict[str, float]:
    found = {}
    for field, keys in RATES.items():
        key = next((each for each in keys if each in prices), None)
        if key is not None:
            found[field] = _at(prices[key], input_tokens)
    return found


def _at(price: Any, input_tokens: int) -> float:
    """A price for a request with so many input tokens."""
    tiers = [each for each in getattr(price, "tiers", ()) if input_tokens > each.start]
    return float(tiers[-1].price if tiers else getattr(price, "base", price))


def _share(standard: Mapping[str, Any], batch: Mapping[str, Any]) -> float | None:
    """What a batch costs as a share; None if that is not known, or not one share for all."""
    pairs = [
        (_at(standard[key], 0), _at(batch[key], 0))
        for keys in RATES.values()
        for key in keys
        if key in standard and key in batch
    ]
    shares = {round(reduced / full, 6) for full, reduced in pairs if full}
    return shares.pop() if len(shares) == 1 and shares != {1.0} else None
