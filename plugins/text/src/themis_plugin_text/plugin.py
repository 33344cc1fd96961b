"""Registers the metrics; they are imported when a spec first names the plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Metric

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_metrics(register: Callable[[str, type[Metric]], None]) -> None:
    # None of these modules imports sacrebleu or rouge-score: the metrics that need them do, when they are used.
    from themis_plugin_text.choices import ChoiceAccuracy, ChoiceSet
    from themis_plugin_text.corpus import Bleu, Chrf, Ter
    from themis_plugin_text.json_match import JsonMatch
    from themis_plugin_text.matches import Contains, ExactMatch, RegexMatch
    from themis_plugin_text.numeric import NumericMatch
    from themis_plugin_text.overlap import Rouge, TokenF1

    register("bleu", Bleu)
    register("chrf", Chrf)
    register("choice_accuracy", ChoiceAccuracy)
    register("choice_set", ChoiceSet)
    register("contains", Contains)
    register("exact_match", ExactMatch)
    register("json_match", JsonMatch)
    register("numeric_match", NumericMatch)
    register("regex_match", RegexMatch)
    register("rouge", Rouge)
    register("ter", Ter)
    register("token_f1", TokenF1)
