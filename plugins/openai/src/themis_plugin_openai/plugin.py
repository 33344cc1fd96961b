"""What this plugin registers. Engines are imported when a spec names them, carriers when the first call is near."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Engine

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_engines(register: Callable[[str, type[Engine] | str], None]) -> None:
    register("azure", "themis_plugin_openai.azure:AzureChat")
    register("chat", "themis_plugin_openai.engines:OpenAIChat")
    register("completions", "themis_plugin_openai.engines:OpenAICompletions")
    register("responses", "themis_plugin_openai.responses:OpenAIResponses")
