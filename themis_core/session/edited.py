"""Finds the stored answers that edited code is asked for again, so that it is said before the bill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from themis_core.components import Store
from themis_core.planning import Plan, Trial
from themis_core.plugins import ComposedModel, Composition
from themis_core.records import Request, RunRecord
from themis_core.specs import digest
from themis_wording import counted

__all__ = ["Calls", "Edited", "code_of", "told"]

Calls = list[tuple[Request, float | None]]
"""Calls that a trial makes, each with its cost."""


@dataclass(frozen=True, slots=True)
class _Former:
    """A run of this benchmark with another content of the code."""

    run: RunRecord
    content: str | None
    files: Mapping[str, str]
    handed: tuple[str, ...] | None
    """What its engine named of items, if that is known."""


class Edited:
    """What was edited since the benchmark ran of the code that answers a plan, and what that asks again.

    It is that of loose files, and the code that engines say they call.
    """

    def __init__(self, plan: Plan, store: Store | None) -> None:
        self._plan = plan
        self._store = store
        self._names: dict[int, str] = {}
        """By id of a model of the plan, which holds it."""
        self._former: dict[str, _Former] = {}
        """By digest of the model's identity."""
        if store is not None:
            for model in plan.composition.models():
                if (former := _former(plan, model, store)) is not None:
                    self._former[self._name(model)] = former
        self._rows: dict[tuple[str, str, str | None], dict[str, Any]] = {}

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
        if not self._former:
            return
        asked = [
            (model, former.own[trial.own.index(request)].key, cost)
            for (trial, calls), former in zip(batch, before, strict=False)
            if (model := self._edited_of(trial)) is not None
            for request, cost in calls
        ]
        if not asked or self._store is None:
            return
        stored = self._store.stored_generations([key for _, key, _ in asked])
        for model, key, cost in asked:
            if key in stored:
                row = self._row(model)
                row["calls"] += 1
                row["cost"] = row["cost"] if cost is None else (row["cost"] or 0.0) + cost

    def rows(self) -> list[dict[str, Any]]:
        """One per engine and code: `component, path, called, files, since, content, calls, cost, keep`."""
        return list(self._rows.values())

    def _name(self, model: ComposedModel) -> str:
        """The digest of a model's identity: looked up for each trial, and made once."""
        if id(model) not in self._names:
            self._names[id(model)] = digest(model.identity())
        return self._names[id(model)]

    def _edited_of(self, trial: Trial) -> ComposedModel | None:
        """Whose code was edited: the model's, or the simulated user's, on whose answers it depends as well."""
        user = trial.talk.user if trial.talk else None
        models = [model for model in (trial.model, user) if model is not None]
        return next((each for each in models if self._name(each) in self._former), None)

    def _before(self, model: ComposedModel) -> ComposedModel:
        former = self._former.get(self._name(model))
        return model if former is None else replace(model, content=former.content, handed=former.handed)

    def _row(self, model: ComposedModel) -> dict[str, Any]:
        former, code = self._former[self._name(model)], model.engine.code
        now, then = _files(self._plan, model), former.files
        namespace = model.component.partition("/")[0]
        if code is not None:
            path, keep = code.path, code.keep.replace("{content}", former.content or "")
        else:
            path = self._plan.composition.project.loose_plugins()[namespace].path
            settings = f"{{path: {path}, identity: {former.content or 'version'}}}"
            keep = f"write project.plugins.{namespace}: {settings}"
        return self._rows.setdefault(
            (model.component, path, former.content),
            {
                "component": model.component,
                "path": path,
                "called": None if code is None else code.path,
                "files": sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)),
                "since": former.run.run_id,
                "content": former.content,
                "calls": 0,
                "cost": None,
                "keep": keep,
            },
        )


def told(row: dict[str, Any]) -> str:
    """Say what was edited, what that asks again, and how to keep the answers that are stored."""
    files = f": {', '.join(row['files'])} changed" if row["files"] else ": what its keys hold changed"
    cost = f", for about {row['cost']:.4g}" if row["cost"] else ""
    calls = counted(row["calls"], "stored answer", "is", "are")
    called = f" {row['called']}" if row["called"] else ""
    return (
        f"{row['component']}{called}{files} since run {row['since']}, so {calls} asked again{cost}. "
        f"If no answer is another now, keep them: {row['keep']}"
    )


def code_of(composition: Composition) -> list[dict[str, Any]]:
    """What a manifest holds of the code that engines call: `component, model, path, content, files, item_fields`."""
    return [
        {
            "component": model.component,
            "model": model.spec.sent,
            "path": code.path,
            "content": code.content,
            "files": dict(code.files),
            "item_fields": list(model.item_fields),
        }
        for model in composition.models()
        if (code := model.engine.code) is not None
    ]


def _files(plan: Plan, model: ComposedModel) -> Mapping[str, str]:
    if (code := model.engine.code) is not None:
        return code.files
    provenance = plan.composition.plugins.provenance()
    found: Mapping[str, str] = _provenance(provenance, model.component.partition("/")[0]).get("files", {})
    return found


def _former(plan: Plan, model: ComposedModel, store: Store) -> _Former | None:
    """The latest run of the benchmark whose keys held something else of the code that answers."""
    namespace = model.component.partition("/")[0]
    is_loose = "path" in _provenance(plan.composition.plugins.provenance(), namespace)
    if not is_loose and model.engine.code is None:
        return None
    # An edit may change a config's defaults, so a loose engine is known by its name alone.
    alike = ("component",) if model.engine.code is None else ("component", "model", "config")
    now = model.identity()
    for run in store.runs():
        if run.manifest.get("benchmark", {}).get("benchmark_id") != plan.composition.benchmark.benchmark_id:
            continue
        for each in run.manifest.get("models", []):
            if all(each.get(name) == now[name] for name in alike) and each.get("content") != model.content:
                return _of(run, each, namespace, is_code=model.engine.code is not None)
    return None


def _of(run: RunRecord, model: Mapping[str, Any], namespace: str, *, is_code: bool) -> _Former:
    content = model.get("content")
    if not is_code:
        files = _provenance(run.manifest.get("plugins", []), namespace).get("files", {})
        return _Former(run, content, files, None)
    place = {"component": model.get("component"), "model": model.get("model"), "content": content}
    code: dict[str, Any] = next((each for each in run.manifest.get("code", []) if place.items() <= each.items()), {})
    return _Former(run, content, code.get("files", {}), tuple(code["item_fields"]) if "item_fields" in code else None)


def _provenance(plugins: Sequence[dict[str, Any]], namespace: str) -> dict[str, Any]:
    return next((each for each in plugins if each["namespace"] == namespace), {})
