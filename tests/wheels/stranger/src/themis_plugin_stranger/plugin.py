"""Registers the metric and the extractor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Extractor, Metric

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_extractors(register: Callable[[str, type[Extractor]], None]) -> None:
    from themis_plugin_stranger.words import LastWord

    register("last_word", LastWord)


@hookimpl
def themis_register_metrics(register: Callable[[str, type[Metric]], None]) -> None:
    from themis_plugin_stranger.words import SharedPrefix

    register("shared_prefix", SharedPrefix)
