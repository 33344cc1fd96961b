"""Frozen dataclasses that are made about as quickly as others.

A frozen dataclass sets each of its fields by a call of `object.__setattr__`, which for a record of a dozen fields takes
five times as long as an assignment. Here an instance is of a twin that has the same slots and can be changed while its
fields are set, and frozen from then on.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from operator import attrgetter
from typing import Any, TypeVar

__all__ = ["quick"]

T = TypeVar("T")


def quick(kind: type[T]) -> type[T]:
    """Give a frozen dataclass with slots an `__init__` that takes a third of the time, and have it pickled by that.

    For plain fields: what has a `__post_init__`, or fields that are given by keyword only or not at all, is returned
    as it is.

    @quick
    @dataclass(frozen=True, slots=True)
    class Item: ...
    """
    its: tuple[Field[Any], ...] = fields(kind)  # type: ignore[arg-type]
    if hasattr(kind, "__post_init__") or any(each.kw_only or not each.init for each in its):
        return kind
    usual: Any = kind.__init__
    names = [each.name for each in its]
    defaults = usual.__defaults__ or ()
    known = {
        "kind": kind,
        "twin": type(kind.__name__, (), {"__slots__": tuple(names)}),
        "usual": usual,
        "set_class": object.__setattr__,
        **{f"make_{each.name}": each.default_factory for each in its},
        **dict(zip([f"left_out_{name}" for name in names[len(names) - len(defaults) :]], defaults, strict=True)),
    }
    lines = [
        f"def __init__(self, {', '.join(names)}):",
        # One of a subclass has its own fields or methods, so it is made as other dataclasses are.
        "  if self.__class__ is not kind:",
        f"    return usual(self, {', '.join(names)})",
        "  set_class(self, '__class__', twin)",
        *(f"  self.{each.name} = {_value(each)}" for each in its),
        "  self.__class__ = kind",
    ]
    exec("\n".join(lines), known)  # as `dataclass` makes its own
    made: Any = known["__init__"]
    made.__defaults__, made.__annotations__ = usual.__defaults__, usual.__annotations__
    made.__module__, made.__qualname__ = kind.__module__, usual.__qualname__
    kind.__init__ = made  # type: ignore[method-assign]
    # Else pickling asks `fields` for the names at each record. Those of subclasses are none of this.
    values: Callable[[Any], Any] = attrgetter(*names) if len(names) > 1 else lambda it: (getattr(it, names[0]),)

    def reduced(it: T) -> tuple[Any, ...]:
        return kind, values(it)

    copyreg.pickle(kind, reduced)
    return kind


def _value(field: Field[Any]) -> str:
    if field.default_factory is MISSING:
        return field.name
    return f"make_{field.name}() if {field.name} is left_out_{field.name} else {field.name}"
