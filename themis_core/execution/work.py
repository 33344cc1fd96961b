"""A trial on its way: what was found of it, and what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from themis_core.planning import Trial
from themis_core.plugins import Scorer
from themis_core.records import Event, Extraction, Generation, Score

__all__ = ["Stored", "Work"]

Stored = dict[str, tuple[Score, Extraction | None]]
"""By score key, what is stored of scores."""


@dataclass(slots=True)
class Work:
    """A trial with what a look-up found of it."""

    trial: Trial
    scorers: Sequence[Scorer]
    score_keys: Sequence[str]
    generations: dict[str, Generation]
    scores: Stored
    owned: list[str]
    """Generation keys that this trial is the first in the run to need."""
    baselines: dict[str, Generation] = field(default_factory=dict)
    """By generation key, what its judges have compared with so far."""
    together: dict[str, Generation] = field(default_factory=dict)
    """Answers that are to be saved together with this trial."""
    asked: Sequence[dict[str, Any]] = ()
    """What the model was sent in all turns, without its own answers, once it has answered."""
    warned: list[str] = field(default_factory=list)
    """What was warned of in answers before the last one, and in what a simulated user said, if they are new."""
    heard: tuple[dict[str, Any], ...] = ()
    """The whole conversation; empty for a prompt of one turn."""
    unsaved: list[Event] = field(default_factory=list)
    """The last reply of a judge, if it is saved together with the trial."""
