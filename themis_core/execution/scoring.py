"""Reads and scores one answer: parse, then metric. A component that raises costs its own score and nothing else.

What the model did wrong (refused, empty, unparsed) gets the metric's worst value; what could not be scored gets a
reason and no value.
"""

from __future__ import annotations

from typing import Any, cast

from themis_core.components import Metric
from themis_core.execution.returned import as_extraction, as_score, interrupts, told
from themis_core.plugins import Chain, Scorer
from themis_core.records import Extraction, Generation, Item, Score

__all__ = ["broken", "measure", "nothing_to_read", "read_answer"]


def read_answer(chain: Chain | None, generation: Generation) -> Extraction | None:
    """What the score's parse finds; None if the raw answer is scored, or if there is no answer to read."""
    if chain is None or generation.status in ("refused", "empty"):
        return None
    try:
        return as_extraction(chain.extract(generation.text))
    except BaseException as error:
        if interrupts(error):
            raise
        return Extraction(value=told(error), reason="extractor_error")  # a plugin's bug costs this extraction only


def measure(scorer: Scorer, item: Item, generation: Generation, extraction: Extraction | None) -> Score:
    """The score that a metric gives, or the worst one of a judge; `extraction` is what `read_answer` gave."""
    try:
        if nothing_to_read(generation, extraction):
            return as_score(scorer.scoring.worst(item, generation))
        value: Any = extraction.value if extraction is not None else generation.text
        return as_score(cast(Metric, scorer.scoring).score(item, generation, value))
    except BaseException as error:  # noqa: BLE001 - a plugin's bug costs this score only
        return broken(scorer, error)


def nothing_to_read(generation: Generation, extraction: Extraction | None) -> bool:
    """Whether the answer gets the worst value without being looked at, and no judge is asked about it."""
    return generation.status in ("refused", "empty") or (extraction is not None and not extraction.parsed)


def broken(scorer: Scorer, error: BaseException) -> Score:
    """What an exception in a metric or judge becomes: it costs this score only. Raises it again if it is Ctrl-C."""
    if interrupts(error):
        raise error
    return Score(reason="metric_error", details={"component": scorer.component, "error": told(error)})
