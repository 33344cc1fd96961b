"""Offers programs to Themis as an engine."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import Engine, hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_engines(register: Callable[[str, type[Engine]], None]) -> None:
    from themis_plugin_command.engine import JsonLinesEngine

    register("jsonl", JsonLinesEngine)
