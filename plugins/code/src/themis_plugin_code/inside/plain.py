"""Results that compare as their values do: those of builtin types, and of few others of the standard library.

An object with an `__eq__` of its own can equal whatever a test expects.
"""

from __future__ import annotations

import builtins
import types
from _weakref import CallableProxyType, ProxyType
from abc import ABCMeta
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum, EnumMeta
from fractions import Fraction
from gc import get_referents
from itertools import chain, islice
from pathlib import PurePath
from typing import Any, Final

__all__ = ["NotPlain", "checked"]

globals()["__builtins__"] = dict(vars(builtins))  # the functions below have builtins that no program changes
_HARMLESS: Final = frozenset(
    {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__slots__", "__annotations__", "__init__",
     "__new__", "__repr__", "__str__", "__match_args__", "__getnewargs__", "__replace__", "__orig_bases__",
     "__static_attributes__", "__firstlineno__", "__annotate__", "__annotate_func__", "__annotations_cache__",
     "__parameters__", "__post_init__", "__classdictcell__", "__abstractmethods__"}
)  # fmt: skip
_KNOWN: Final = tuple((each, dict(vars(each))) for each in (Fraction, Counter, Enum, PurePath))
"""Classes of the standard library that are written in Python, and may be results, with what they were at first."""
_METACLASSES: Final = (type, ABCMeta, EnumMeta)
_ORDER, _NAMES = vars(type)["__mro__"].__get__, vars(type)["__dict__"].__get__
"""The classes above a class, and the names in it, whatever its metaclass says of them."""
_COMPILED: Final = (
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, types.BuiltinFunctionType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.NoneType,
)  # fmt: skip
_PROXIES: Final = (ProxyType, CallableProxyType)
"""What compares as another object does, of which it tells nothing."""
_HOLDERS: Final[tuple[type, ...]] = (
    deque, slice, types.SimpleNamespace, types.MappingProxyType, type({}.keys()), type({}.values()), type({}.items()),
    Fraction, PurePath,
)  # fmt: skip
"""Further classes whose objects compare as what they hold does."""
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
        elif any(each is holder for each in _ORDER(cls) for holder in _HOLDERS):
            waiting += islice((each for each in get_referents(value) if each is not cls), _MOST_LOOKED_AT)


def _is_plain(cls: Any) -> bool:
    if not any(type(cls) is each for each in _METACLASSES) or any(cls is each for each in _PROXIES):
        return False  # a metaclass decides what its classes do
    for each in _ORDER(cls):
        known = next((names for other, names in _KNOWN if other is each), None)
        for name, attribute in _NAMES(each).items():
            if known is not None and name in known:
                if attribute is not known[name]:
                    return False
            elif name.startswith("__") and name not in _HARMLESS and type(attribute) not in _COMPILED:
                return False
        if known is not None:
            return True
    return True
