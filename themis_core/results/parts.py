"""How far each part of a run is: what is stored of it, who holds it, how it ended, and which were never begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from themis_core.components import DRIVER, Holder, Store
from themis_core.records import ExecutionRecord, Part

__all__ = ["PartRow", "parts_of"]

NOT_BEGUN: Final = "not begun"


@dataclass(frozen=True, slots=True)
class PartRow:
    """One part of a run whose result is still to be made, or one worker."""

    part: str
    """`3/16`, or `worker <name>`."""
    state: str
    """`running`; how its last execution ended, as in `RunFinished`, or `died` if without a word; `not begun`, or
    `partly stored` if some of its trials are there all the same, such as from parts of another number."""
    planned: int | None
    """Trials; None if nobody has said so yet, and of workers."""
    stored: int | None
    """Those with an outcome; None if they were not counted, and of workers."""
    failed: int
    failures: dict[str, int]
    """Error codes of failed trials, with their counts."""
    started_at: str | None = None
    finished_at: str | None = None
    host: str | None = None
    pid: int | None = None
    """Who holds it now."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """What the holder reported last."""


def parts_of(store: Store, run_id: str, *, count: bool) -> list[PartRow]:
    """The parts of a run since the last execution of the whole; none if it was not divided since.

    With `count`, what is stored of each part is counted, which takes a look at each stored trial.
    """
    executions = _since_the_whole_began(store.executions(run_id))
    holders = {each.part: each for each in store.at_work(run_id) if each.part not in ("", DRIVER)}
    latest = {each.part: each for each in executions if each.part is not None}
    names = list(dict.fromkeys([*latest, *holders]))
    shards = [each for each in names if "/" in each and not each.startswith("worker ")]
    rows = []
    if shards:
        divided = Part.parse(_newest(shards, latest, holders))
        by_item = any(each.manifest.get("by_item", False) for each in executions)
        ends = _ends(store, run_id, divided.of, by_item=by_item) if count else None
        for number in range(1, divided.of + 1):
            name = str(Part(number, divided.of))
            rows.append(_row(name, latest.get(name), holders.get(name), None if ends is None else ends[number]))
    return rows + [
        _row(name, latest.get(name), holders.get(name), None) for name in names if name.startswith("worker ")
    ]


def _since_the_whole_began(executions: Sequence[ExecutionRecord]) -> Sequence[ExecutionRecord]:
    """The executions of parts since the whole run was worked on, the last time, whether that ended or not."""
    wholes = [at for at, each in enumerate(executions) if each.part is None]
    return executions[wholes[-1] + 1 :] if wholes else executions


def _newest(shards: Sequence[str], latest: Mapping[str, ExecutionRecord], holders: Mapping[str, Holder]) -> str:
    """A shard of the division that is at work, or was begun last: a run may have been divided in several ways."""
    held = [each for each in shards if each in holders]
    return (held or sorted(shards, key=lambda name: latest[name].started_at))[-1]


def _ends(store: Store, run_id: str, of: int, *, by_item: bool) -> dict[int, Counter[str | None]]:
    """By part: how many of its trials ended, under None, and how many failed with which code."""
    found: dict[int, Counter[str | None]] = {number: Counter() for number in range(1, of + 1)}
    for each in store.trial_places(run_id):
        counts = found[Part.holding(each.item_id, None if by_item else each.sample_index, of).number]
        counts[None] += 1
        if each.outcome == "failed":
            counts[each.error_code or "engine_error"] += 1
    return found


def _row(
    name: str, execution: ExecutionRecord | None, holder: Holder | None, ends: Counter[str | None] | None
) -> PartRow:
    counts = execution.counts if execution else {}
    progress = holder.progress if holder else {}
    failures = {code: each for code, each in sorted((ends or {}).items(), key=str) if code is not None}
    return PartRow(
        name,
        _state(execution, holder, ends),
        progress.get("planned", counts.get("planned")),
        None if ends is None else ends[None],
        sum(failures.values()) if ends is not None else counts.get("failed", 0),
        failures,
        execution.started_at if execution else holder.since if holder else None,
        execution.finished_at if execution and not holder else None,
        holder.host if holder else None,
        holder.pid if holder else None,
        progress,
    )


def _state(execution: ExecutionRecord | None, holder: Holder | None, ends: Counter[str | None] | None) -> str:
    if holder is not None:
        return "running"
    if execution is None:
        return "partly stored" if ends and ends[None] else NOT_BEGUN
    return "died" if execution.status == "running" else execution.status
