"""What a store has of a run before anything is done: all of it, or what spares the check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from themis_core.components import Store
from themis_core.planning import Plan
from themis_core.records import RunRecord
from themis_core.session.checks import UNSCORABLE, known_check
from themis_core.session.ending import is_stored
from themis_core.session.finished import finished_before

__all__ = ["Looked", "look_for"]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a store has of a run."""

    finished: RunRecord | None = None
    """The run, if it was finished before."""
    is_stored: bool = False
    """Whether all its parts are stored, so that only its result is to be made."""
    check: dict[str, Any] | None = None
    """What its check found; None if it is still to be made."""


def look_for(store: Store, made: Plan) -> Looked:
    """Look for the run of a plan."""
    if (finished := finished_before(store, made)) is not None:
        return Looked(finished, check={UNSCORABLE: finished.manifest[UNSCORABLE]})
    if made.part is None:
        return Looked(is_stored=is_stored(store, made))
    return Looked(check=known_check(store.executions(made.run_id), made.part))
