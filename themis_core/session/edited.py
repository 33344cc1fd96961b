"""Finds the stored answers that an edited loose engine is asked for again, so that it is said before the bill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from themis_core.components import Store
from themis_core.planning import Plan, Trial
from themis_core.plugins import ComposedModel
from themis_core.records import Request, RunRecord
from themis_wording import counted

__all__ = ["Calls", "Edited", "told"]

Calls = list[tuple[Request, float | None]]
"""Calls that a trial makes, each with its cost."""


@dataclass(frozen=True, slots=True)
class _Former:
    """A run of this benchmark with another content of the file."""

    run: RunRecord
    content: str | None


class Edited:
    """The loose files of a plan's engines that were edited since the benchmark ran, and what that asks again."""

    def __init__(self, plan: Plan, store: Store | None) -> None:
        self._plan = plan
        self._store = store
        self._former = {
            model.component: former
            for model in plan.composition.models()
            if store is not None and (former := _former(plan, model, store)) is not None
        }
        self._rows: dict[str, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        """Whether anything was edited, so that stored answers may be asked again."""
        return bool(self._former)

    def trials(self, endpoint: str | None) -> Iterator[Trial]:
        """The trials as they were before, in the plan's order; none if nothing was edited."""
        if not self._former:
            return iter(())
        slices = []
        for each in self._plan.slices:
            models = tuple(self._before(model) for model in each.composed.models)
            users = {name: replace(user, model=self._before(user.model)) for name, user in each.composed.users.items()}
            slices.append(replace(each, composed=replace(each.composed, models=models, users=users, scorers=())))
        return replace(self._plan, slices=tuple(slices)).trials(endpoint)

    def add(self, batch: Sequence[tuple[Trial, Calls]], before: Sequence[Trial]) -> None:
        """Count what of a batch is asked again: trials with the calls that they make, and the trials as they were."""
        asked = [
            (component, former.own[trial.own.index(request)].key, cost)
            for (trial, calls), former in zip(batch, before, strict=False)
            if (component := self._edited_of(trial)) is not None
            for request, cost in calls
        ]
        if not asked or self._store is None:
            return
        stored = self._store.stored_generations([key for _, key, _ in asked])
        for component, key, cost in asked:
            if key in stored:
                row = self._row(component)
                row["calls"] += 1
                row["cost"] = row["cost"] if cost is None else (row["cost"] or 0.0) + cost

    def rows(self) -> list[dict[str, Any]]:
        """One per engine: `component, path, files, since, content, calls, cost`."""
        return list(self._rows.values())

    def _edited_of(self, trial: Trial) -> str | None:
        """The engine that was edited: the model's, or the simulated user's, whose answers it depends on as well."""
        user = trial.talk.user if trial.talk else None
        components = [model.component for model in (trial.model, user) if model is not None]
        return next((each for each in components if each in self._former), None)

    def _before(self, model: ComposedModel) -> ComposedModel:
        former = self._former.get(model.component)
        return model if former is None else replace(model, content=former.content)

    def _row(self, component: str) -> dict[str, Any]:
        former, namespace = self._former[component], component.partition("/")[0]
        now = _provenance(self._plan.composition.plugins.provenance(), namespace)
        then = _provenance(former.run.manifest.get("plugins", []), namespace)
        files, old = now.get("files", {}), then.get("files", {})
        return self._rows.setdefault(
            component,
            {
                "component": component,
                "path": self._plan.composition.project.loose_plugins()[namespace].path,
                "files": sorted(name for name in files.keys() | old.keys() if files.get(name) != old.get(name)),
                "since": former.run.run_id,
                "content": former.content,
                "calls": 0,
                "cost": None,
            },
        )


def told(row: dict[str, Any]) -> str:
    """Say what was edited, what that asks again, and how to keep the answers that are stored."""
    files = f": {', '.join(row['files'])} changed" if row["files"] else ": what its keys hold changed"
    cost = f", for about {row['cost']:.4g}" if row["cost"] else ""
    calls = counted(row["calls"], "stored answer", "is", "are")
    namespace = row["component"].partition("/")[0]
    keep = f"{{path: {row['path']}, identity: {row['content'] or 'version'}}}"
    return (
        f"{row['component']}{files} since run {row['since']}, so {calls} asked again{cost}. "
        f"If no answer is another now, keep them: write project.plugins.{namespace}: {keep}"
    )


def _former(plan: Plan, model: ComposedModel, store: Store) -> _Former | None:
    """The latest run of the benchmark whose keys held something else of the engine's file."""
    if "path" not in _provenance(plan.composition.plugins.provenance(), model.component.partition("/")[0]):
        return None
    for run in store.runs():
        if run.manifest.get("benchmark", {}).get("benchmark_id") != plan.composition.benchmark.benchmark_id:
            continue
        for each in run.manifest.get("models", []):
            if each.get("component") == model.component and each.get("content") != model.content:
                return _Former(run, each.get("content"))
    return None


def _provenance(plugins: Sequence[dict[str, Any]], namespace: str) -> dict[str, Any]:
    return next((each for each in plugins if each["namespace"] == namespace), {})
