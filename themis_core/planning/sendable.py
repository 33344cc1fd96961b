"""Whether engines can send what they are to be asked: told in the plan, and not by each request of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from themis_core.planning.identities import Trial
from themis_core.reading import Place

__all__ = ["check_sendable"]


def check_sendable(trials: Iterable[Trial], places: Mapping[str, Place]) -> None:
    """Let the engine of each trial look at its first request. `places` are those of the slices. Raises SpecError."""
    for trial in trials:
        request = trial.requests[0]
        if trial.sample_index or trial.model is None or not _is_text(request.messages):
            continue
        # A copy, as what an engine does to it is not what is sent.
        trial.model.check_request(deepcopy(request), trial.prompt_variant_id, places[trial.slice_id] / "generation")


def _is_text(messages: Iterable[Mapping[str, Any]]) -> bool:
    return all(isinstance(each.get("content"), str) for each in messages)
