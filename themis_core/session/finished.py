"""Tells that a run was finished before, so that nothing of it is left to be checked, looked up or asked."""

from __future__ import annotations

from themis_core.components import Store
from themis_core.planning import Plan, Unscorable
from themis_core.records import RunRecord
from themis_core.session.checks import UNSCORABLE, unscorable_in

__all__ = ["finished_before", "unscorable_of"]


def finished_before(store: Store, made: Plan) -> RunRecord | None:
    """The run, if each of its trials has its answer, and none of its scores is to be tried again."""
    record = store.run(made.run_id)
    if record is None or record.status != "completed" or record.failed or record.trials != made.count():
        return None
    if UNSCORABLE not in record.manifest or store.has_faults(made.run_id):
        return None
    return record


def unscorable_of(made: Plan, finished: RunRecord | None) -> list[Unscorable]:
    """The items to which no answer can be scored: of a run that was finished before, as its manifest says."""
    return made.unscorable if finished is None else unscorable_in(finished.manifest)
