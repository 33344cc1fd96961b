"""Lets the conclusions of a spec check what they need before a run, and say what there is to say of it once it is over.

What they say then can't lose the run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from themis_core.components import Conclusion, Finding
from themis_core.errors import StorageError, StoreMissing, ThemisError
from themis_core.planning import Plan
from themis_core.plugins import Composition, checked, failure, from_outside, made, seconds_for, told
from themis_core.reading import Place
from themis_core.records import Item
from themis_core.results import Results
from themis_lanes import Overdue, beside
from themis_plain import as_flag, as_text, canonical_json, check_dict, own

__all__ = ["check_conclusions", "concluded"]

log = logging.getLogger("themis")


def check_conclusions(made: Plan, place: Place) -> None:
    """Let each conclusion look for what it names in the store and in the items. Raises SpecError, with its place."""
    composition = made.composition
    asking = [
        (index, name, component)
        for index, (name, component) in enumerate(composition.conclusions)
        if type(component).check_run is not Conclusion.check_run
    ]
    if not asking:
        return
    items = {each.composed.spec.slice_id: _Items(each.items.every) for each in made.slices}
    try:
        opened: Any = _opened(composition)
    except StoreMissing:
        opened = nullcontext()
    except StorageError:  # such as one of an older version: the run brings it up to date, or says what is wrong
        return
    with opened as results:
        for index, name, component in asking:
            check = partial(component.check_run, results, items)
            checked(check, f"{name}.check_run", place.at("conclusions", index) / "config")


class _Items:
    """The items of a slice, read anew each time, each a copy."""

    def __init__(self, items: Callable[[], Iterator[Item]]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        return map(own, self._items())


def _opened(composition: Composition) -> Results:
    policy = composition.project.execution_policy
    return Results(composition.storage, composition.project_dir, composition.plugins, policy)


def concluded(composition: Composition, run_id: str) -> list[dict[str, Any]]:
    """What `RunResult.conclusions` says of the run. One that failed has a `warning`, and is not met if it is a gate."""
    return [each for name, component in composition.conclusions for each in _of(composition, name, component, run_id)]


def _of(composition: Composition, name: str, component: Conclusion, run_id: str) -> list[dict[str, Any]]:
    def conclude() -> Any:
        # Opened here, for a store is used in the thread that opened it.
        with _opened(composition) as results:
            return made(component, "conclude", (results, run_id))

    try:
        findings = beside(f"{name}.conclude", seconds_for(component), conclude)
        return [_plain(name, each) for each in _checked(findings)]
    except BaseException as error:
        if from_outside(error):
            raise
        if not isinstance(error, ThemisError | Overdue):  # these say what is wrong, and where
            log.error("%s", failure(name, "conclude", error))
        warning = f"{name}: nothing could be concluded: {told(error)}. All results are stored"
        found = Finding("nothing could be concluded", met=False if component.is_gate else None)
        return [{**_plain(name, found), "warning": warning}]


def _checked(findings: Any) -> Sequence[Finding]:
    if not isinstance(findings, list | tuple):
        raise TypeError(f"conclude returned {type(findings).__name__}, not a list of Finding")
    for each in findings:
        if not isinstance(each, Finding):
            raise TypeError(f"conclude returned a {type(each).__name__} in its list, not a Finding")
        as_text(each.text, "Finding.text")
        if each.met is not None:
            as_flag(each.met, "Finding.met")
        check_dict(each.details, "Finding.details")
    return findings


def _plain(name: str, finding: Finding) -> dict[str, Any]:
    return {
        "conclusion": name,
        "text": finding.text,
        "met": finding.met,
        "details": json.loads(canonical_json(finding.details)),
    }
