"""Makes a component of a name and a config: found, validated, checked and asked for its properties, once each."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pydantic import ValidationError

from themis_core.components import (
    COMPONENT_KINDS,
    Component,
    Conclusion,
    Engine,
    Judge,
    Lane,
    Metric,
    Needs,
    Scoring,
)
from themis_core.errors import SpecError
from themis_core.plugins.calling import calling
from themis_core.plugins.loading import Plugins
from themis_core.reading import Place, as_meant, spec_error
from themis_core.specs import digest

__all__ = ["Maker", "checked"]

C = TypeVar("C", bound=Component)


class Maker:
    """The components of one composition; those of equal name and config are made once."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self._made: dict[str, tuple[str, Component]] = {}

    def named(self, namespace: str, place: Place) -> None:
        try:
            self.plugins.load(namespace)
        except SpecError as error:
            raise place.error(error.message) from error

    def component(
        self,
        base: type[C],
        name: str,
        config: Mapping[str, Any],
        name_at: Place,
        config_at: Place,
        base_dir: Path,
        models: Sequence[str] = (),
    ) -> tuple[str, C]:
        """The full name and the component. `models` are the names of those that it is used with.

        Raises SpecError with its place in the spec, or PluginError.
        """
        kind = next(kind for kind, cls in COMPONENT_KINDS.items() if cls is base)
        try:
            full_name, cls = self.plugins.resolve(kind, name)
        except SpecError as error:
            raise name_at.error(error.message) from error
        # What an engine passes on to a server, such as `extra_body`, is of numbers.
        config = as_meant(dict(config), cls, config_at, free=int if base is Engine else str)
        try:
            with calling(full_name, "its config", but=(ValidationError,)):
                made = cls.model_validate(config)
        except ValidationError as error:
            raise spec_error(
                error, cls, config, config_at
            ) from None  # pydantic's own message quotes what was given, keys too
        # Checked once: a component may prepare for its use here (index a file, say), and holds on to that.
        with calling(full_name, "its config"):
            known = f"{kind} {full_name} {digest(made.model_dump(mode='json', by_alias=True))}"
        with calling(full_name, "for_models"):
            if (fitted := made.for_models(tuple(models))) is not made:
                if not isinstance(fitted, cls):
                    raise TypeError(f"it returned {type(fitted).__name__}, not a {cls.__name__}")
                made, known = fitted, f"{known} {digest(models)}"
        if known not in self._made:
            checked(partial(made.check, base_dir), full_name, config_at)
            _read_properties(made, full_name)
            self._made[known] = (full_name, made)
        return cast(tuple[str, C], self._made[known])


def checked(check: Callable[[], None], name: str, config_at: Place) -> None:
    """Let a component check what it was given; what it raises has the place of its config."""
    with calling(name, "check"):
        try:
            check()
        except SpecError as error:
            if error.path is not None:
                raise
            raise config_at.error(error.message) from error
        except ValueError as error:
            raise config_at.error(str(error)) from error


_OF_ALL = ("version", "identity", "runs_in", "at_once", "seconds_per_call")
_OF_SCORES = ("lowest", "highest", "higher_is_better", "aggregates_mean", "aggregates_smoothly", "sums_parts")
_PROPERTIES: dict[type[Component], tuple[str, ...]] = {
    Conclusion: ("is_gate",),
    Engine: ("capabilities", "code", "endpoint", "item_fields", "reads_prompt"),
    Judge: ("asks_models", "baseline_model", "requires", *_OF_SCORES),
    Metric: (*_OF_SCORES, "batch_size"),
}
"""What the core reads of components at many places, and a component may compute."""


def _read_properties(component: Component, name: str) -> None:
    """Read once, here, what is read again later, so that what goes wrong in it has the component's name."""
    for method in _OF_ALL:
        with calling(name, method):
            found = getattr(component, method)
            if callable(found):
                found()
    for each in next((names for kind, names in _PROPERTIES.items() if isinstance(component, kind)), ()):
        with calling(name, each):
            getattr(component, each)
    with calling(name, "runs_in"):
        _check_lane(component)
    if isinstance(component, Scoring):
        with calling(name, "fewest_samples"):
            _check_fewest(component.fewest_samples)
    if isinstance(component, Engine):
        with calling(name, "item_fields"):
            _check_fields(component.item_fields)
        with calling(name, "needs"):
            _check_needs(component.needs)


def _check_fewest(number: object) -> None:
    if type(number) is not int or number < 1:
        raise TypeError(f"fewest_samples is {number!r:.80}, not a number of samples")


def _check_fields(names: object) -> None:
    """Raise TypeError for what is no list of names; a text alone would be one of letters."""
    if not isinstance(names, tuple | list) or not all(isinstance(each, str) and each for each in names):
        raise TypeError(f"item_fields is {names!r:.80}, not a tuple of names")


def _check_needs(needs: object) -> None:
    if not isinstance(needs, Needs):
        raise TypeError(f"needs is {needs!r:.80}, not themis_core.Needs(gpus=…, cpus=…, memory_bytes=…)")


def _check_lane(component: Component) -> None:
    """Raise TypeError or ValueError for what can't be called where it says, as often or as long as it says."""
    if component.runs_in not in (None, *get_args(Lane)):
        raise ValueError(f"runs_in is {component.runs_in!r}, not one of {', '.join(get_args(Lane))}")
    if (many := component.at_once) is not None and (type(many) is not int or many < 1):
        raise ValueError(f"at_once is {many!r}, not a number of calls")
    if (seconds := component.seconds_per_call) is not None and not seconds > 0:
        raise ValueError(f"seconds_per_call is {seconds!r}, not a number of seconds")
    if component.runs_in == "process":
        pickle.dumps(component)
        if type(component).__module__ == "__main__":
            raise TypeError("a process can't find a class of the script that was started: put it into a module")
    if isinstance(component, Metric):
        _check_batches(component)


def _check_batches(metric: Metric) -> None:
    if type(metric.batch_size) is not int or metric.batch_size < 1:
        raise ValueError(f"batch_size is {metric.batch_size!r}, not a number of answers")
    if metric.batch_size > 1 and metric.runs_in == "inline":
        raise ValueError("batch_size is for what runs in a process or a thread, and runs_in is 'inline'")
    if metric.batch_size > 1 and type(metric).score_batch is Metric.score_batch:
        raise ValueError("batch_size is more than 1, and there is no score_batch")
