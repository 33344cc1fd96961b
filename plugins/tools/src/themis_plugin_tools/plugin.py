"""Registers the metric; it is imported when a spec names it."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_metrics(register: Callable[[str, str], None]) -> None:
    register("calls", "themis_plugin_tools.calls:Calls")
