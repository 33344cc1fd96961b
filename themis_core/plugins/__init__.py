"""Finding, loading and composing plugins, and saying where each came from.

With `hookspecs` the only room that knows pluggy. Nothing here runs a component.
"""

from themis_core.discovery import Installed, Unreadable, discover, how_to_install, installed
from themis_core.plugins.blaming import blaming, failure, from_outside, own_exit, told
from themis_core.plugins.calling import (
    calling,
    each_in_its_time,
    in_force,
    in_its_time,
    in_its_time_beside,
    is_async,
    is_inherited,
    is_quick,
    lane_of,
    made,
    policy_in_force,
    seconds_for,
)
from themis_core.plugins.compose import Composition, compose, compose_chain, open_storage, plugins_of
from themis_core.plugins.composed import (
    Chain,
    ComposedModel,
    ComposedSlice,
    JudgingModel,
    LoadedDataset,
    Scorer,
    SimulatedUser,
)
from themis_core.plugins.loading import LoadedPlugin, Observers, Plugins, load_command, load_output
from themis_core.plugins.making import checked

__all__ = [
    "Chain",
    "ComposedModel",
    "ComposedSlice",
    "Composition",
    "Installed",
    "JudgingModel",
    "LoadedDataset",
    "LoadedPlugin",
    "Observers",
    "Plugins",
    "Scorer",
    "SimulatedUser",
    "Unreadable",
    "blaming",
    "calling",
    "checked",
    "compose",
    "compose_chain",
    "discover",
    "each_in_its_time",
    "failure",
    "from_outside",
    "how_to_install",
    "in_force",
    "in_its_time",
    "in_its_time_beside",
    "installed",
    "is_async",
    "is_inherited",
    "is_quick",
    "lane_of",
    "load_command",
    "load_output",
    "made",
    "open_storage",
    "own_exit",
    "plugins_of",
    "policy_in_force",
    "seconds_for",
    "told",
]
