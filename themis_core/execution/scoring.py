"""Reads and scores one answer: parse, then metric. A component that raises costs its own score and nothing else.

What the model did wrong (refused, empty, unparsed) gets the metric's worst value; what could not be scored gets a
reason and no value.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from themis_core.components import Extractor, Metric
from themis_core.execution.returned import as_extraction, as_score, interrupts, told
from themis_core.planning import Handed
from themis_core.plugins import Chain, Scorer
from themis_core.records import SCORE_FAULTS, Extraction, Generation, Item, Score

__all__ = ["broken", "measure", "nothing_to_read", "read_answer"]


def read_answer(chain: Chain | None, generation: Generation) -> Extraction | Score | None:
    """What the score's parse finds; None if the raw answer is scored, or if there is no answer to read.

    A score, without a value, is what an extractor's failure comes to: it says nothing of the answer, so it ends the
    chain. What a further extractor found would be another result than that of the chain as the spec has it.
    """
    if chain is None or generation.status in ("refused", "empty"):
        return None
    text = generation.text
    for component, extractor in chain.prepare:
        found = _extract(component, extractor, text)
        if isinstance(found, Score) or not found.parsed:
            return found
        text = found.value if isinstance(found.value, str) else str(found.value)
    found = Extraction(reason="no_match")
    for component, extractor in chain.extractors:
        found = _extract(component, extractor, text)
        if isinstance(found, Score) or found.parsed:
            break
    return found


def _extract(component: str, extractor: Extractor, text: str) -> Extraction | Score:
    try:
        found = as_extraction(extractor.extract(text))
    except BaseException as error:  # noqa: BLE001 - a plugin's bug costs this extraction only
        return broken(component, error, "extractor")
    if found.reason in SCORE_FAULTS:
        return Score(reason=found.reason, details={"component": component, "error": SCORE_FAULTS[found.reason]})
    return found


def measure(scorer: Scorer, item: Item, generation: Generation, extraction: Extraction | None) -> Score:
    """The score that a metric gives, or the worst one of a judge; `extraction` is what `read_answer` gave."""
    try:
        value: Any = extraction.value if extraction is not None else generation.text
        handed = Handed(item=item, generation=generation, value=value)
        item, generation, value = handed["item"], handed["generation"], handed["value"]
        if nothing_to_read(generation, extraction):
            score = as_score(scorer.scoring.worst(item, generation))
        else:
            score = as_score(cast(Metric, scorer.scoring).score(item, generation, value))
        handed.check()
        return score
    except BaseException as error:  # noqa: BLE001 - a plugin's bug costs this score only
        return broken(scorer.component, error)


def nothing_to_read(generation: Generation, extraction: Extraction | None) -> bool:
    """Whether the answer gets the worst value without being looked at, and no judge is asked about it."""
    return generation.status in ("refused", "empty") or (extraction is not None and not extraction.parsed)


def broken(component: str, error: BaseException, kind: Literal["extractor", "metric"] = "metric") -> Score:
    """What an exception in an extractor, metric or judge becomes: it costs this score only. Raises it again if it is
    Ctrl-C."""
    if interrupts(error):
        raise error
    reason = f"{kind}_timeout" if isinstance(error, TimeoutError) else f"{kind}_error"
    return Score(reason=reason, details={"component": component, "error": told(error)})
