"""What this plugin registers. The engine is imported when a spec names it, the SDK when its config is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Engine

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_engines(register: Callable[[str, type[Engine]], None]) -> None:
    from themis_plugin_bedrock.engine import BedrockConverse

    register("converse", BedrockConverse)
