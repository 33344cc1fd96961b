"""The hooks of the plugin `interop`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Exporter

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_exporters(register: Callable[[str, type[Exporter]], None]) -> None:
    from themis_plugin_interop.every_eval_ever import EveryEvalEver
    from themis_plugin_interop.hub_results import HubResults
    from themis_plugin_interop.inspect_logs import InspectLogs
    from themis_plugin_interop.lm_eval_files import LmEvalFiles
    from themis_plugin_interop.openai_evals_logs import OpenAiEvalsLogs

    register("every_eval_ever", EveryEvalEver)
    register("hub_results", HubResults)
    register("inspect", InspectLogs)
    register("lm_eval", LmEvalFiles)
    register("openai_evals", OpenAiEvalsLogs)
