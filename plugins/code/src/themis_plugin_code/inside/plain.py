"""Results that compare as their values do: those of builtin types, and of few others of the standard library.

An object with an `__eq__` of its own can equal whatever a test expects.
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Callable
from itertools import chain, islice
from typing import Any, Final

__all__ = ["NotPlain", "checked"]

globals()["__builtins__"] = dict(vars(builtins))  # the functions below have builtins that no program changes
_HARMLESS: Final = frozenset(
    {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__slots__", "__annotations__", "__init__",
     "__new__", "__repr__", "__str__", "__match_args__", "__getnewargs__", "__replace__", "__orig_bases__",
     "__static_attributes__", "__firstlineno__", "__annotate__", "__annotate_func__", "__annotations_cache__",
     "__parameters__", "__post_init__", "__classdictcell__"}
)  # fmt: skip
_KNOWN: Final = (("fractions", "Fraction"), ("collections", "Counter"), ("enum", "Enum"), ("pathlib", "PurePath"))
"""Classes of the standard library that are written in Python, and may be results."""
_COMPILED: Final = (
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, types.BuiltinFunctionType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.NoneType,
)  # fmt: skip
_MOST_LOOKED_AT: Final = 20_000


class NotPlain(TypeError):
    """A result is of a class that compares as it likes."""


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what is called so that a result which is not plain raises NotPlain; a class that is plain is left alone."""
    if issubclass(type(function), type) and _is_plain(function):
        return function

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        _check(result)
        return result

    return call


def _check(result: Any) -> None:
    waiting, looked_at = [result], 0
    while waiting and looked_at < _MOST_LOOKED_AT:
        value = waiting.pop()
        looked_at += 1
        cls = type(value)
        if not _is_plain(cls):
            raise NotPlain(f"the result is of the class {cls.__name__!r:.100}, which compares as it likes")
        if issubclass(cls, list | tuple | set | frozenset):
            waiting += islice(value, _MOST_LOOKED_AT)
        elif issubclass(cls, dict):
            waiting += chain(islice(value, _MOST_LOOKED_AT), islice(dict.values(value), _MOST_LOOKED_AT))


def _is_plain(cls: Any) -> bool:
    known = [getattr(sys.modules[module], name, None) for module, name in _KNOWN if module in sys.modules]
    if type(cls) is not type and type(cls).__module__ not in ("abc", "enum"):
        return False  # a metaclass decides what its classes do
    for each in cls.__mro__:
        if each in known:
            return True
        for name, attribute in vars(each).items():
            if name.startswith("__") and name not in _HARMLESS and type(attribute) not in _COMPILED:
                return False
    return True
