"""Comparisons that hold up: paired, corrected, with a verdict in words.

from themis_plugin_stats import compare
print(compare("run-a", "run-b").verdict)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from themis_plugin_stats.comparing import compare as compare
    from themis_plugin_stats.result import Comparison as Comparison
    from themis_plugin_stats.sides import Side as Side
    from themis_plugin_stats.verdicts import Pair as Pair

__all__ = ["Comparison", "Pair", "Side", "compare"]
_HOME = {"Comparison": "result", "Pair": "verdicts", "Side": "sides", "compare": "comparing"}


def __getattr__(name: str) -> Any:
    # On first use: scipy takes longer to import than most commands take to run.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
