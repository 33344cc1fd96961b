"""Registers the metric; it is imported when a spec first names the plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Metric

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_metrics(register: Callable[[str, type[Metric]], None]) -> None:
    # sympy is imported by the worker process alone.
    from themis_plugin_math.equivalent import Equivalent

    register("equivalent", Equivalent)
