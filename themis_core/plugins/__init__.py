"""Finding, loading and composing plugins, and saying where each came from.

With `hookspecs` the only room that knows pluggy. Nothing here runs a component.
"""

from themis_core.plugins.compose import (
    Chain,
    ComposedModel,
    ComposedSlice,
    Composition,
    LoadedDataset,
    Scorer,
    compose,
    open_storage,
)
from themis_core.plugins.discovery import Installed, installed
from themis_core.plugins.loading import Loaded, Plugins

__all__ = [
    "Chain",
    "ComposedModel",
    "ComposedSlice",
    "Composition",
    "Installed",
    "Loaded",
    "LoadedDataset",
    "Plugins",
    "Scorer",
    "compose",
    "installed",
    "open_storage",
]
