"""What the code takes, by the names of its parameters: what an engine has to be handed for that."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Final

from themis_core import SpecError
from themis_plugin_python.caller import method_of

__all__ = ["OF_CALL", "Parameters", "parameters_of"]

OF_CALL: Final = {
    "item": "the fields of the item, without the reference",
    "metadata": "the item's metadata",
    "reference": "the item's reference, if `reference: true` allows it",
    "messages": "the rendered messages",
    "prompt": "the text of the last user message",
    "params": "the inference settings",
    "seed": "the seed of the sample",
    "sample": "the sample index",
    "item_id": "the id of the item",
    "model": "the model's name",
    "config": "the `config` of the spec",
    "steps": "where the code tells of its steps",
}
"""Names of parameters that are no field of the item, and what each is handed."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a function or of a class's method."""

    names: tuple[str, ...]
    """`**` if it takes any."""
    item_fields: tuple[str, ...]
    """As `Engine.item_fields` has them."""
    is_async: bool
    is_class: bool

    def takes(self, *names: str) -> bool:
        """Whether it takes one of these."""
        return any(name in self.names for name in names)


def parameters_of(found: Any, config: Mapping[str, Any], *, reference: bool) -> Parameters:
    """Look at what `call` names, and at what a class is made with. Raises SpecError."""
    is_class = isinstance(found, type)
    if is_class:
        target = getattr(found, "answer", None) or (found.__call__ if "__call__" in _methods(found) else None)
        if target is None:
            raise SpecError(f"call: the class {found.__name__} has no method `answer` or `__call__`")
        _check_config(found, config)
    elif not callable(target := method_of(found)):
        raise SpecError(f"call: it is {type(found).__name__}, not a function or a class")
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"call: Python can't tell its parameters ({error}): call it from a function of yours"
        ) from error
    if is_class and not isinstance(inspect.getattr_static(found, target.__name__, None), staticmethod | classmethod):
        parameters = parameters[1:]
    _check(parameters, reference=reference)
    names = tuple("**" if each.kind is Parameter.VAR_KEYWORD else each.name for each in parameters if _is_handed(each))
    if config and not is_class and "config" not in names:
        raise SpecError("config: it is no class and has no parameter `config`, so that would change nothing")
    called = target if inspect.isroutine(target) else type(target).__call__
    is_async = inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
    return Parameters(names, tuple(_fields(parameters)), is_async, is_class)


def _methods(kind: type) -> set[str]:
    return {name for each in kind.__mro__ for name in vars(each)}


def _is_handed(parameter: Parameter) -> bool:
    return parameter.kind is not Parameter.VAR_POSITIONAL


def _check(parameters: list[Parameter], *, reference: bool) -> None:
    for each in parameters:
        if each.kind is Parameter.POSITIONAL_ONLY:
            raise SpecError(f"call: its parameter {each.name!r} can't be handed over by its name: remove the `/`")
        if each.name == "reference" and not reference:
            raise SpecError(
                "call: it has a parameter `reference`, which would tell it the right answer. If that is meant, write "
                "`reference: true`"
            )
    if reference and all(each.name != "reference" for each in parameters):
        raise SpecError("reference: it has no parameter `reference`, so that would change nothing")


def _check_config(kind: type, config: Mapping[str, Any]) -> None:
    try:
        inspect.signature(kind).bind(**config)
    except TypeError as error:
        raise SpecError(f"config: {kind.__name__}{inspect.signature(kind)} can't be made with it: {error}") from error
    except ValueError:
        return  # Python can't tell; making it will


def _fields(parameters: list[Parameter]) -> list[str]:
    """What has to be handed over of the item: a parameter with a default need not be there."""
    found = []
    for each in parameters:
        optional = "" if each.default is Parameter.empty else "?"
        if each.kind is Parameter.VAR_KEYWORD or each.name == "item":
            found.append("*")
        elif each.kind is Parameter.VAR_POSITIONAL:
            continue
        elif each.name in ("metadata", "reference") or each.name not in OF_CALL:
            found.append(f"{each.name}{optional}")
    return list(dict.fromkeys(found))
