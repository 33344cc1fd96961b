"""What is compared: the two or more sides of a comparison, each a run, or the part of one that a name stands for.

compare("run-a", "run-b")                 two runs
compare("run-a")                          the models of a run; its prompt variants or settings if it has one model
compare("run-a:model=x", "run-b:model=y") parts of runs
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, Literal, TypeAlias

from themis_core import SpecError
from themis_plugin_stats.collecting import Collected, Group

__all__ = ["BY", "By", "Chosen", "Of", "Side", "choose", "parse_side"]

By: TypeAlias = Literal["run", "model", "prompt", "params"]
BY: Final[tuple[Literal["model", "prompt", "params"], ...]] = ("model", "prompt", "params")
_SELECTOR = re.compile(r":(model|prompt|params|slice)=")


@dataclass(frozen=True, slots=True)
class Side:
    """A run, and which of its trials are meant; by default all."""

    run: str
    """Its id, or the beginning of it."""
    only: dict[str, str] = field(default_factory=dict)
    """`model`, `prompt`, `params` or `slice` to the one that is meant."""
    label: str = ""
    """What the comparison calls it; by default its id, and what is meant of it."""

    def has(self, group: Group) -> bool:
        """Whether trials of the group are meant."""
        names = {"slice": group.slice_id, "model": group.model, "prompt": group.prompt, "params": group.params}
        return all(names[name] == value for name, value in self.only.items())


Of: TypeAlias = tuple[Side, Collected]
"""A side, with what was read of its run."""


def parse_side(text: str) -> Side:
    """A side as it is typed: `RUN`, or `RUN:model=ID`, also with `prompt`, `params`, `slice`, or several of them."""
    run, *rest = _SELECTOR.split(text)
    return Side(run, dict(zip(rest[::2], rest[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is compared with what."""

    by: By
    sides: list[str]
    baseline: str | None
    """What the others are compared with; None if each is compared with each."""
    pairs: list[tuple[Of, Of]]
    left_out: list[str] = field(default_factory=list)
    """Models of some of the runs that others lack, where several are compared model by model."""


def choose(
    runs: Sequence[Side],
    collected: Sequence[Collected],
    *,
    by: By | None = None,
    only: Sequence[str] = (),
    baseline: str | None = None,
) -> Chosen:
    """Say what is compared with what.

    Several runs are compared with the first, model by model if they have several in common. One run is split by model,
    prompt or setting: the first of which it has several, or `by`; `only` names those that take part, and `baseline` the
    one that the others are compared with. Raises SpecError if there are no two sides, or one run was to be split and
    there are several.
    """
    for side, run in zip(runs, collected, strict=True):
        _check_selection(side, run)
    if len(runs) > 1:
        _check_several(by, baseline)
        return _several(list(zip(runs, collected, strict=True)), only)
    return _within(runs[0], collected[0], by, only, baseline)


def _check_several(by: By | None, baseline: str | None) -> None:
    if baseline is not None:
        raise SpecError(
            f"the baseline {baseline!r} is of a single run; of several runs, the first is what the others are "
            "compared with: leave it out"
        )
    if by in ("prompt", "params"):
        raise SpecError(
            f"a single run is compared by {by}, and there are several: name a part of each, such as RUN:{by}=NAME"
        )


def _several(of: Sequence[Of], only: Sequence[str]) -> Chosen:
    models = [list(dict.fromkeys(group.model for group in run.groups() if side.has(group))) for side, run in of]
    common = [name for name in models[0] if all(name in each for each in models) and name in (only or models[0])]
    if not common and not only and any(len(each) > 1 for each in models):
        told = "; ".join(
            f"{side.label or side.run}: {', '.join(each)}" for (side, _), each in zip(of, models, strict=True)
        )
        raise SpecError(
            f"the runs have no model in common ({told}): name a model of each, such as RUN:model={models[0][0]}"
        )
    for name in only:
        if name not in common:
            raise SpecError(f"not all of the runs have a model {name!r}. In common: {', '.join(common) or 'none'}")
    parts = [{"model": name} for name in common] if len(common) > 1 or only else [{}]
    pairs = []
    for part in parts:
        first, *others = [(_labelled(side, part, run), run) for side, run in of]
        pairs += [(first, each) for each in others]
    labels = list(dict.fromkeys(side.label for each in pairs for side, _ in each))
    if twice := [one[0].label for one, other in pairs if one[0].label == other[0].label]:
        raise SpecError(f"{twice[0]} is there twice: nothing can be compared with itself")
    lone = sorted({name for each in models for name in each} - set(common)) if parts != [{}] and not only else []
    return Chosen("run", labels, pairs[0][0][0].label, pairs, [f"model {name}" for name in lone])


def _within(side: Side, run: Collected, by: By | None, only: Sequence[str], baseline: str | None) -> Chosen:
    groups = [group for group in run.groups() if side.has(group)]
    values = {name: list(dict.fromkeys(getattr(group, name) for group in groups)) for name in BY}
    by = by or next((name for name in BY if len(values[name]) > 1), None)
    if by is None or by == "run":
        raise SpecError(
            f"run {run.run.run_id} has one model, one prompt variant and one setting, so there is nothing to compare "
            "in it: name a second run"
        )
    named = list(dict.fromkeys(only)) or _in_order(run, by, values[by])
    if baseline is not None and baseline not in named:
        named.insert(0, baseline)
    for name in named:
        if name not in values[by]:
            raise SpecError(f"run {run.run.run_id} has no {by} {name!r}. It has: {', '.join(values[by])}")
    if len(named) < 2:
        raise SpecError(f"there is one {by} to compare, {', '.join(named)}: name a second one, or another run")
    sides = {name: (Side(side.run, {**side.only, by: name}, name), run) for name in named}
    pairs = list(combinations(sides.values(), 2))
    if baseline is not None:
        pairs = [(sides[baseline], sides[name]) for name in named if name != baseline]
    return Chosen(by, named, baseline, pairs)


def _in_order(run: Collected, by: str, values: Sequence[str]) -> list[str]:
    """As the spec names them."""
    benchmark = run.run.manifest.get("benchmark", {})
    listed = {
        "model": [each.get("model_id") for each in benchmark.get("models", ())],
        "prompt": [each.get("id") for each in benchmark.get("prompt_variants", ())],
    }.get(by, [])
    return sorted(values, key=lambda name: listed.index(name) if name in listed else len(listed))


def _labelled(side: Side, part: dict[str, str], run: Collected) -> Side:
    """A side of which a part is meant, with its label: the one that was given, or else the run's whole id."""
    named = part if side.label else {**side.only, **part}
    told = [side.label or run.run.run_id, *(f"{name}={value}" for name, value in named.items())]
    return Side(side.run, {**side.only, **part}, ":".join(told))


def _check_selection(side: Side, run: Collected) -> None:
    groups = run.groups()
    for name, value in side.only.items():
        known = list(dict.fromkeys(getattr(group, "slice_id" if name == "slice" else name) for group in groups))
        if value not in known:
            raise SpecError(f"run {run.run.run_id} has no {name} {value!r}. It has: {', '.join(known) or 'no trials'}")
