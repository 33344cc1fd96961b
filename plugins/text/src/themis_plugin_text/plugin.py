"""Registers the metrics; they are imported when a spec first names the plugin."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_metrics(register: Callable[[str, str], None]) -> None:
    register("bleu", "themis_plugin_text.corpus:Bleu")
    register("chrf", "themis_plugin_text.corpus:Chrf")
    register("choice_accuracy", "themis_plugin_text.choices:ChoiceAccuracy")
    register("choice_set", "themis_plugin_text.choices:ChoiceSet")
    register("contains", "themis_plugin_text.matches:Contains")
    register("exact_match", "themis_plugin_text.matches:ExactMatch")
    register("json_match", "themis_plugin_text.json_match:JsonMatch")
    register("numeric_match", "themis_plugin_text.numeric:NumericMatch")
    register("regex_match", "themis_plugin_text.matches:RegexMatch")
    register("rouge", "themis_plugin_text.overlap:Rouge")
    register("ter", "themis_plugin_text.corpus:Ter")
    register("token_f1", "themis_plugin_text.overlap:TokenF1")
