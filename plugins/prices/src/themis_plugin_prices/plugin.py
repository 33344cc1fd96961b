"""The hooks of the plugin `prices`. A table is imported when a spec names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import PriceTable

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_price_tables(register: Callable[[str, type[PriceTable]], None]) -> None:
    from themis_plugin_prices.genai import GenaiPrices

    register("genai", GenaiPrices)
