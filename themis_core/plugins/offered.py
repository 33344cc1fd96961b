"""What one plugin offers of one kind: component classes by name, each imported when it is first asked for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from themis_core.components import COMPONENT_KINDS, Component
from themis_core.errors import PluginError
from themis_core.plugins.calling import calling

__all__ = ["Offered"]


class Offered(Mapping[str, type[Component]]):
    """The components of one kind by name, in the order in which they were registered.

    `who` names the plugin to people, `is_loose` says that it is a file. What was registered as `module:Class` is
    imported when it is looked up, which raises PluginError if that fails.
    """

    def __init__(self, who: str, kind: str, hook: str, *, is_loose: bool = False) -> None:
        self._who = who
        self._is_loose = is_loose
        self._kind = kind
        self._hook = hook
        self._found: dict[str, type[Component] | str] = {}

    def register(self, name: Any, cls: Any) -> None:
        """Take a class, or the text `module:Class`. Raises PluginError for what can't be used."""
        if not isinstance(name, str) or not name.isidentifier():
            raise self._wrong(name, "a component's name is letters, digits and underscores")
        if name in self._found:
            raise self._wrong(name, "the name is registered twice")
        if problem := self._unfit_place(cls) if isinstance(cls, str) else self._unfit(cls):
            raise self._wrong(name, problem)
        self._found[name] = cls

    def __getitem__(self, name: str) -> type[Component]:
        found = self._found[name]
        if isinstance(found, str):
            found = self._found[name] = self._imported(name, found)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _imported(self, name: str, place: str) -> type[Component]:
        module, _, attribute = place.partition(":")
        with calling(self._who, f"import of {place}", but=(PluginError,)):
            cls = getattr(import_module(module), attribute)
        if problem := self._unfit(cls):
            raise self._wrong(name, problem)
        return cls  # type: ignore[no-any-return]

    def _unfit_place(self, place: str) -> str | None:
        module, _, attribute = place.partition(":")
        if not all(map(str.isidentifier, [*module.split("."), attribute])):
            return f"{place!r} is no place of a class, such as 'my_plugin.metrics:Polite'"
        if self._is_loose:  # what it imports by itself is found in its code, and is part of its identity
            return f"a loose file registers the class itself, not {place!r}"
        return None

    def _unfit(self, cls: object) -> str | None:
        base = COMPONENT_KINDS[self._kind]
        if not (isinstance(cls, type) and issubclass(cls, base)):
            return f"{cls!r} is no subclass of themis_core.{base.__name__}"
        if inspect.isabstract(cls):
            return f"{cls.__name__} lacks {', '.join(sorted(cls.__abstractmethods__))}"
        return None

    def _wrong(self, name: object, problem: str) -> PluginError:
        return PluginError(f"{self._who}: {self._hook}: register({name!r}, …): {problem}")
