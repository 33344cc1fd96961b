"""What the check of a plan found, so that it is done once for a run, however many processes work on it.

Who checks notes it in the manifest that is stored before the first call: for the whole, or for the part that was
checked. Who works on a part that was checked before, by itself or within the whole, checks nothing. Parts that begin at
one moment check each its own items: nobody waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from themis_core.planning import SHOWN, Asked, Plan, Unscorable
from themis_core.records import ExecutionRecord, Part

__all__ = ["check_found", "known_check", "unscorable_in", "whole_check"]

UNSCORABLE: Final = "unscorable"
_CHECKED: Final = "checked"
"""The part that was checked; absent if it was the whole."""
_FIRST: Final = "unscorable_first"
"""Of a part, beside `unscorable`: ids of the first items of each row, by which those of all parts are put in order."""


def check_found(made: Plan) -> dict[str, Any]:
    """What a manifest holds of the check of a plan, which was just made."""
    found: dict[str, Any] = {UNSCORABLE: [asdict(each) for each in made.unscorable]}
    if made.part is not None:
        found[_CHECKED] = str(made.part)
        found[_FIRST] = [list(ids) for each in made.asked.values() for ids in each.first.values()]
    return found


def unscorable_in(manifest: Mapping[str, Any]) -> list[Unscorable]:
    """The items to which no answer can be scored, as a manifest says."""
    return [Unscorable(**{**each, "examples": tuple(each["examples"])}) for each in manifest[UNSCORABLE]]


def known_check(executions: Iterable[ExecutionRecord], part: Part | None) -> dict[str, Any] | None:
    """What a check found that was made before, of the whole or of this part; None if there was none."""
    found: dict[str, Any] | None = None
    for each in executions:
        if UNSCORABLE in each.manifest and each.manifest.get(_CHECKED) in (None, str(part)):
            found = {name: each.manifest[name] for name in (UNSCORABLE, _CHECKED, _FIRST) if name in each.manifest}
            if _CHECKED not in found:
                break  # the whole goes before
    return found


def whole_check(made: Plan, executions: Sequence[ExecutionRecord]) -> dict[str, Any]:
    """What the check of the whole run found: as it was noted, put together from all parts, or asked now."""
    if (known := known_check(executions, None)) is not None:
        return known
    if made.part is None and made.asked:
        return check_found(made)
    if (parts := _all_parts(executions)) is not None:
        return {UNSCORABLE: [asdict(each) for each in _together(made, parts)]}
    asked = [Asked(each.composed.spec.slice_id, each.items, each.scorers, every=True) for each in made.slices]
    return {UNSCORABLE: [asdict(found) for each in asked for found in each.unscorable]}


def _all_parts(executions: Sequence[ExecutionRecord]) -> list[Mapping[str, Any]] | None:
    """The manifests of all parts of one division, if each of them was checked."""
    divisions: dict[int, dict[int, Mapping[str, Any]]] = {}
    for each in executions:
        if (written := each.manifest.get(_CHECKED)) is not None:
            part = Part.parse(written)
            divisions.setdefault(part.of, {})[part.number] = each.manifest
    return next((list(found.values()) for of, found in divisions.items() if len(found) == of), None)


def _together(made: Plan, manifests: Sequence[Mapping[str, Any]]) -> list[Unscorable]:
    """The rows of all parts, as the check of the whole would have given them: in the order in which they are found."""
    rows: dict[tuple[str, str, str, str], int] = {}
    first: dict[tuple[str, str, str, str], set[str]] = {}
    for manifest in manifests:
        for row, ids in zip(manifest[UNSCORABLE], manifest[_FIRST], strict=True):
            key = (row["slice_id"], row["score"], row["metric"], row["reason"])
            rows[key] = rows.get(key, 0) + row["items"]
            first.setdefault(key, set()).update(ids)
    found: list[Unscorable] = []
    for planned in made.slices:
        slice_id = planned.composed.spec.slice_id
        own = [key for key in rows if key[0] == slice_id]
        places = planned.items.places({name for key in own for name in first[key]}) if own else {}
        order = {name: at for at, name in enumerate(places)}
        asked = [(each.score, each.metric) for each in planned.scorers]
        for key in sorted(own, key=lambda key: (min(order[name] for name in first[key]), asked.index(key[1:3]))):
            named = sorted(first[key], key=order.__getitem__)[:SHOWN]
            examples = tuple(places[name] or name for name in named)
            found.append(Unscorable(*key, rows[key], planned.items.count, examples))
    return found
