"""Whether engines can send what they are to be asked: told in the plan, and not by each request of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from themis_core.planning.identities import Trial
from themis_core.reading import Place

__all__ = ["check_sendable"]


def check_sendable(trials: Iterable[Trial], places: Mapping[str, Place]) -> None:
    """Let the engine of each trial look at its first request, and that of its simulated user.

    `places` are those of the slices. Raises SpecError.
    """
    for trial in trials:
        request = trial.requests[0]
        if trial.sample_index or trial.model is None or not _is_text(request.messages):
            continue
        place = places[trial.slice_id] / "generation"
        # A copy, as what an engine does to it is not what is sent.
        trial.model.check_request(deepcopy(request), trial.prompt_variant_id, place)
        if trial.talk is not None and trial.talk.user is not None:
            told = trial.talk.replies[0]
            asked = replace(told, messages=[*told.messages, {"role": "user", "content": "an answer"}])
            trial.talk.user.check_request(deepcopy(asked), trial.prompt_variant_id, place)


def _is_text(messages: Iterable[Mapping[str, Any]]) -> bool:
    return all(isinstance(each.get("content"), str) for each in messages)
