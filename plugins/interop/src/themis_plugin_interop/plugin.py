"""The hooks of the plugin `interop`."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_exporters(register: Callable[[str, str], None]) -> None:
    register("every_eval_ever", "themis_plugin_interop.every_eval_ever:EveryEvalEver")
    register("hub_results", "themis_plugin_interop.hub_results:HubResults")
    register("inspect", "themis_plugin_interop.inspect_logs:InspectLogs")
    register("lm_eval", "themis_plugin_interop.lm_eval_files:LmEvalFiles")
    register("openai_evals", "themis_plugin_interop.openai_evals_logs:OpenAiEvalsLogs")
