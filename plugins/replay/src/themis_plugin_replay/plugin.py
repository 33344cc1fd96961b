"""Offers recorded outputs and recorded verdicts to Themis."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import Engine, Judge, hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_engines(register: Callable[[str, type[Engine]], None]) -> None:
    from themis_plugin_replay.engine import FileEngine

    register("file", FileEngine)


@hookimpl
def themis_register_judges(register: Callable[[str, type[Judge]], None]) -> None:
    from themis_plugin_replay.verdicts import Verdicts

    register("verdicts", Verdicts)
