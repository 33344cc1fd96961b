"""Finding, loading and composing plugins, and saying where each came from.

With `hookspecs` the only room that knows pluggy. Nothing here runs a component.
"""

from themis_core.plugins.compose import Composition, compose, open_storage
from themis_core.plugins.composed import Chain, ComposedModel, ComposedSlice, JudgingModel, LoadedDataset, Scorer
from themis_core.plugins.discovery import Installed, Unreadable, discover, installed
from themis_core.plugins.loading import Loaded, Plugins, blaming

__all__ = [
    "Chain",
    "ComposedModel",
    "ComposedSlice",
    "Composition",
    "Installed",
    "JudgingModel",
    "Loaded",
    "LoadedDataset",
    "Plugins",
    "Scorer",
    "Unreadable",
    "blaming",
    "compose",
    "discover",
    "installed",
    "open_storage",
]
