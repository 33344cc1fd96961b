"""Reads and scores one answer: parse, then metric. A component that raises costs its own score and nothing else.

What the model did wrong (refused, empty, unparsed) gets the metric's worst value; what could not be scored gets a
reason and no value.
"""

from __future__ import annotations

import math
from typing import Any, cast

from themis_core.components import Metric
from themis_core.plugins import Chain, Scorer
from themis_core.records import Extraction, Generation, Item, Score
from themis_core.specs import canonical_json

__all__ = ["broken", "checked", "measure", "nothing_to_read", "read_answer"]


def read_answer(chain: Chain | None, generation: Generation) -> Extraction | None:
    """What the score's parse finds; None if the raw answer is scored, or if there is no answer to read."""
    if chain is None or generation.status in ("refused", "empty"):
        return None
    try:
        found = chain.extract(generation.text)
        if not isinstance(found.value, str | int | None):
            canonical_json(found.value)  # raises for what no store can take
        return found
    except Exception as error:  # noqa: BLE001 - a plugin's bug costs this extraction only
        return Extraction(value=f"{type(error).__name__}: {error}", reason="extractor_error")


def measure(scorer: Scorer, item: Item, generation: Generation, extraction: Extraction | None) -> Score:
    """The score that a metric gives, or the worst one of a judge; `extraction` is what `read_answer` gave."""
    try:
        if nothing_to_read(generation, extraction):
            return checked(scorer.scoring.worst(item, generation))
        value: Any = extraction.value if extraction is not None else generation.text
        return checked(cast(Metric, scorer.scoring).score(item, generation, value))
    except Exception as error:  # noqa: BLE001 - a plugin's bug costs this score only
        return broken(scorer, error)


def nothing_to_read(generation: Generation, extraction: Extraction | None) -> bool:
    """Whether the answer gets the worst value without being looked at, and no judge is asked about it."""
    return generation.status in ("refused", "empty") or (extraction is not None and not extraction.parsed)


def checked(score: Score) -> Score:
    """The score itself, unless its value is no finite number."""
    if score.value is None:
        return score if score.reason else Score(reason="no_value")
    if not math.isfinite(score.value) or not all(map(math.isfinite, score.parts)):
        return Score(reason="not_finite", details={"value": str(score.value)})
    if score.details:
        canonical_json(score.details)  # raises for what no store can take
    return score


def broken(scorer: Scorer, error: Exception) -> Score:
    """What an exception in a metric or judge becomes."""
    return Score(
        reason="metric_error", details={"component": scorer.component, "error": f"{type(error).__name__}: {error}"}
    )
