"""Imports the plugins that a spec or a command names, one by one, and finds components in them.

Each `Plugins` starts empty: nothing is shared between sessions, and nothing is imported that nobody named.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from themis_core import hookspecs
from themis_core.components import CONTRACT_VERSION, Component, PriceTable
from themis_core.discovery import Installed, commands, how_to_install, installed, outputs
from themis_core.errors import PluginError, SpecError
from themis_core.plugins.blaming import failure, from_outside
from themis_core.plugins.calling import calling, policy_in_force
from themis_core.plugins.offered import Offered
from themis_lanes import Overdue, in_time
from themis_loose import content_of, content_of_one, import_loose, neighbours
from themis_wording import did_you_mean

__all__ = ["SUPPORTED_CONTRACTS", "LoadedPlugin", "Observers", "Plugins", "load_command", "load_output"]

log = logging.getLogger("themis")

SUPPORTED_CONTRACTS = (1, CONTRACT_VERSION)
"""Lowest and highest contract version that this core works with."""
_UNFIT = (pluggy.PluginValidationError, ValueError)
"""What pluggy raises for hooks that it can't call."""


@dataclass(slots=True)
class LoadedPlugin:
    """An imported plugin: its module, where it came from, and what it offers by kind and name."""

    namespace: str
    module: ModuleType
    provenance: dict[str, Any]
    offers: dict[str, Mapping[str, type[Component]]] = field(default_factory=dict)


class Plugins:
    """The plugins of one session. `loose` maps namespaces to Python files, `identities` to what keys hold of these."""

    def __init__(self, loose: Mapping[str, Path] | None = None, identities: Mapping[str, str] | None = None) -> None:
        self._loose = dict(loose or {})
        self._identities = dict(identities or {})
        self._installed = installed()
        self._loaded: dict[str, LoadedPlugin] = {}
        self._beside: dict[str, Path] = {}
        self._manager = pluggy.PluginManager("themis")
        self._manager.add_hookspecs(hookspecs)
        for namespace in self._loose:
            if namespace in self._installed:
                raise SpecError(
                    f"plugins.{namespace}: this namespace belongs to the installed "
                    f"{self._installed[namespace][0].label}; choose another name for the file"
                )

    @property
    def hook(self) -> Any:
        """pluggy's relay: calls a hook in all loaded plugins."""
        return self._manager.hook

    @property
    def namespaces(self) -> list[str]:
        """All namespaces that could be named, sorted."""
        return sorted({*self._installed, *self._loose})

    def load(self, namespace: str) -> LoadedPlugin:
        """Import a plugin, once, and ask it what it offers.

        Raises SpecError if it is not installed; PluginError if it is broken, claimed by two distributions, or
        written for a contract that this core does not support.
        """
        if namespace not in self._loaded:
            module, provenance, label = self._import(namespace)
            self._check_contract(module, namespace, label)
            self._register(module, namespace, label)
            loaded = LoadedPlugin(namespace, module, provenance)
            try:
                for kind, hook in hookspecs.REGISTRATION_HOOKS.items():
                    who = f"plugin {namespace!r} ({label})"
                    loaded.offers[kind] = offered = Offered(who, kind, hook, is_loose=namespace in self._loose)
                    with _blaming(namespace, label, hook):
                        self._only(namespace, hook)(register=offered.register)
            except PluginError:
                self._manager.unregister(module)  # it must not observe runs, and may be asked again
                raise
            self._loaded[namespace] = loaded
        return self._loaded[namespace]

    def resolve(self, kind: str, name: str) -> tuple[str, type[Component]]:
        """Find a component by `namespace/name`, or by its namespace if that offers just one of the kind.

        Returns its full name and class. Raises SpecError without a place (the caller knows it), or PluginError.
        """
        noun = kind.replace("_", " ")
        namespace, _, component = name.partition("/")
        offered = self.load(namespace).offers[kind]
        if component in offered:
            return name, offered[component]
        if not component and len(offered) == 1:
            only, cls = next(iter(offered.items()))
            return f"{namespace}/{only}", cls
        listed = f"It offers: {', '.join(sorted(offered))}." if offered else f"It offers no {noun} at all."
        if not component:
            raise SpecError(f"{noun} {name!r}: say which one, as {namespace}/name. {listed}")
        hint = did_you_mean(component, offered, self._kind_hint(namespace, component, kind))
        raise SpecError(f"{noun} {name!r}: plugin {namespace!r} offers no such {noun}. {listed}{hint}")

    def price_table(self, name: str) -> tuple[str, type[PriceTable]]:
        """Find a table of prices by `namespace/name`, or by its namespace if that brings just one; see `resolve`."""
        namespace, _, table = name.partition("/")
        loaded = self.load(namespace)
        found: dict[str, Any] = {}
        hook = "themis_register_price_tables"
        with _blaming(namespace, _label(loaded.provenance), hook):
            self._only(namespace, hook)(register=found.__setitem__)
            for each, cls in found.items():
                if not (isinstance(cls, type) and issubclass(cls, PriceTable)):
                    raise TypeError(f"register({each!r}, …): {cls!r} is no subclass of themis_core.PriceTable")
        if not table and len(found) == 1:
            table = next(iter(found))
        if table not in found:
            listed = f"It brings: {', '.join(sorted(found))}." if found else "It brings none."
            hint = did_you_mean(table, found)
            raise SpecError(f"plugin {namespace!r} has no table of prices {table!r}. {listed}{hint}")
        return f"{namespace}/{table}", found[table]

    def add_commands(self, namespace: str, group: Any) -> bool:
        """Let a plugin add its commands to its click group; False if it has none."""
        loaded = self.load(namespace)
        with _blaming(namespace, _label(loaded.provenance), "themis_register_commands"):
            self._only(namespace, "themis_register_commands")(cli=group)
        return bool(group.commands)

    def provenance(self) -> list[dict[str, Any]]:
        """Where each loaded plugin came from, for the manifest, sorted by namespace."""
        return [self._loaded[name].provenance for name in sorted(self._loaded)]

    def loose_content(self, namespace: str) -> str | None:
        """The SHA-256 of a loaded loose file, which score keys hold; None for an installed plugin."""
        found: str | None = self._loaded[namespace].provenance.get("sha256")
        return found

    def loose_engine_content(self, namespace: str) -> str | None:
        """What generation keys hold of a loaded loose file: the SHA-256 of its content, or the one that it counts as.

        None for an installed plugin, and for a file of which versions alone count.
        """
        identity = self._identities.get(namespace, "content")
        found = self.loose_content(namespace)
        return found if identity == "content" else None if identity == "version" else identity

    def observers(self, hook: str) -> Observers:
        """The loaded plugins that observe with `hook`."""
        caller = getattr(self._manager.hook, hook)
        return Observers(hook, [(impl.plugin_name, partial(_tell, impl)) for impl in caller.get_hookimpls()])

    def _import(self, namespace: str) -> tuple[ModuleType, dict[str, Any], str]:
        if namespace in self._loose:
            return self._import_loose(namespace, self._loose[namespace])
        candidates = self._installed.get(namespace, [])
        if not candidates:
            raise SpecError(self._not_installed(namespace))
        if len(candidates) > 1:
            raise _claimed_twice(f"plugin {namespace!r}", candidates)
        return self._import_installed(candidates[0])

    def _import_installed(self, each: Installed) -> tuple[ModuleType, dict[str, Any], str]:
        with _blaming(each.namespace, each.label, "import"):
            module = each.entry_point.load()
        provenance = {
            "namespace": each.namespace,
            "distribution": each.distribution,
            "version": each.version,
            "entry_point": each.entry_point.value,
            "origin": each.origin(),
        }
        return module, provenance, each.label

    def _import_loose(self, namespace: str, path: Path) -> tuple[ModuleType, dict[str, Any], str]:
        try:
            content = content_of(path)
        except OSError as error:
            raise SpecError(f"plugins.{namespace}: can't read {path}: {error.strerror or error}") from error
        beside = neighbours(path)
        for name, file in beside.items():
            if (other := self._beside.setdefault(name, file)) != file:
                raise SpecError(
                    f"plugins.{namespace}: {path} imports {file}, but another loose file imports {other}, and "
                    f"there can be one {name!r} only: rename one of the two"
                )
        with _blaming(namespace, str(path), "import"):
            module = import_loose(namespace, path, content)
        files = {str(file.relative_to(path.parent)): content_of_one(file) for file in (path, *beside.values())}
        return module, {"namespace": namespace, "path": str(path), "sha256": content, "files": files}, str(path)

    def _check_contract(self, module: ModuleType, namespace: str, label: str) -> None:
        default = CONTRACT_VERSION if namespace in self._loose else None
        with _blaming(namespace, label, "THEMIS_CONTRACT_VERSION"):
            version = getattr(module, "THEMIS_CONTRACT_VERSION", default)
        low, high = SUPPORTED_CONTRACTS
        supported = f"this core supports {low}" if low == high else f"this core supports {low} to {high}"
        if not isinstance(version, int):
            raise PluginError(
                f"plugin {namespace!r} ({label}) does not state THEMIS_CONTRACT_VERSION, the contract it was written "
                f"for; {supported}"
            )
        if not low <= version <= high:
            newer = "update themis-core" if version > high else f"update {label.split(' ')[0]}"
            raise PluginError(
                f"plugin {namespace!r} ({label}) was written for contract {version}; {supported}: {newer}"
            )

    def _register(self, module: ModuleType, namespace: str, label: str) -> None:
        try:
            with _blaming(namespace, label, "registration", but=_UNFIT):
                self._manager.register(module, namespace)
                self._manager.check_pending()  # the only place where pluggy notices a misspelt hook
        except (PluginError, *_UNFIT) as error:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            if isinstance(error, PluginError):
                raise
            raise PluginError(f"plugin {namespace!r} ({label}): {str(error).strip()}") from error

    def _only(self, namespace: str, hook: str) -> Any:
        others = [plugin for name, plugin in self._manager.list_name_plugin() if name != namespace]
        return self._manager.subset_hook_caller(hook, remove_plugins=others)

    def _not_installed(self, namespace: str) -> str:
        known = self.namespaces
        listed = f"Installed: {', '.join(known)}." if known else "No plugin is installed."
        hint = did_you_mean(namespace, known)
        return f"plugin {namespace!r} is not installed. {listed}{hint}{how_to_install(namespace)}"

    def _kind_hint(self, namespace: str, component: str, kind: str) -> str:
        for other, offered in self._loaded[namespace].offers.items():
            if other != kind and component in offered:
                article = "an" if other[0] in "aeiou" else "a"
                return f" There is {article} {other.replace('_', ' ')} of that name."
        return ""


def load_command(name: str) -> Any:
    """Import the click command of the first level that a plugin declares; None if none declares one of that name.

    Raises PluginError if it can't be imported, is no command, or is declared by two distributions.
    """
    return _imported("command", name, commands(), "make_context", "no click command")


def load_output(name: str) -> Any:
    """Import the function that writes a result in the form of this name, as `load_command` imports a command."""
    return _imported("output", name, outputs(), "__call__", "no function")


def _imported(kind: str, name: str, declared: Mapping[str, list[Installed]], method: str, otherwise: str) -> Any:
    candidates = declared.get(name, [])
    if not candidates:
        return None
    if len(candidates) > 1:
        raise _claimed_twice(f"{kind} {name!r}", candidates)
    found = candidates[0]
    with calling(f"{kind} {name!r} ({found.label})", "import"):
        value = found.entry_point.load()
    if not callable(getattr(value, method, None)):
        raise PluginError(
            f"{kind} {name!r} ({found.label}): its entry point, {found.entry_point.value}, is {otherwise}"
        )
    return value


def _claimed_twice(what: str, candidates: list[Installed]) -> PluginError:
    listed = " and ".join(each.label for each in candidates)
    either = " or ".join(f"pip uninstall {each.distribution}" for each in candidates)
    return PluginError(f"{what}: claimed by {listed}. Uninstall one: {either}")


class Observers:
    """The plugins that observe with one hook. One that fails is passed over: the run does not depend on it.

    One that takes longer than `seconds_per_call` is told nothing more.
    """

    def __init__(self, hook: str, found: list[tuple[str, Callable[..., None]]]) -> None:
        self.namespaces = [name for name, _ in found]
        self._hook = hook
        self._found = found
        self._failed: Counter[str] = Counter()

    def tell(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Call each with facts of its own, by the hook's argument names. A plugin's first failure is logged in full."""
        limit = policy_in_force.get().seconds_per_call if self._found else 0
        for name, observe in list(self._found):
            try:
                in_time(f"plugin {name!r}: {self._hook}", limit, observe, **facts())
            except Overdue as error:
                self._found.remove((name, observe))
                log.error(
                    "plugin %r: %s was %s (execution_policy.seconds_per_call); it is told no more, the run goes on",
                    name, self._hook, error,
                )  # fmt: skip
            except BaseException as error:
                if from_outside(error):
                    raise
                self._failed[name] += 1
                if self._failed[name] == 1:
                    log.error("%s\nthe run goes on", failure(f"plugin {name!r}", self._hook, error))

    def count_failures(self) -> None:
        """Log how often each plugin failed, if it did more than once."""
        for name, times in self._failed.items():
            if times > 1:
                log.error("plugin %r: %s failed %d times in all, as told above", name, self._hook, times)


def _tell(implementation: pluggy.HookImpl, **facts: Any) -> None:
    """Call an implementation as pluggy does: it takes those of the hook's arguments that it names."""
    implementation.function(*[facts[name] for name in implementation.argnames])


def _label(provenance: Mapping[str, Any]) -> str:
    return str(provenance.get("path") or f"{provenance['distribution']} {provenance['version']}")


def _blaming(
    namespace: str, label: str, during: str, but: tuple[type[Exception], ...] = (PluginError,)
) -> AbstractContextManager[None]:
    return calling(f"plugin {namespace!r} ({label})", during, but=but)
