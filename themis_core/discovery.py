"""Which plugins are installed, from metadata alone: no plugin is imported here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from importlib_metadata import Distribution, EntryPoint

from themis_core.version import name_and_version

__all__ = [
    "BROUGHT_BY",
    "COMMANDS",
    "GROUP",
    "Installed",
    "OUTPUTS",
    "Unreadable",
    "commands",
    "discover",
    "how_to_install",
    "installed",
    "outputs",
]

_CORE = "themis-core"

GROUP = "themis"
"""The entry point group that plugins register in; the entry point's name is the namespace."""
COMMANDS = "themis.commands"
"""The group of commands of the first level, each a click command: `compare = "themis_plugin_x.commands:compare"`."""

OUTPUTS = "themis.outputs"
"""The group of forms in which a result is written to a file, each a function that makes a text of a `RunResult`:
`junit = "themis_plugin_x.junit:as_junit"` gives `themis run` and `themis show run` the option `--junit FILE`."""
BROUGHT_BY = {
    **dict.fromkeys(("plugins", "schema"), "describe"),
    **dict.fromkeys(("export", "import"), "interop"),
    **dict.fromkeys(("report", "view"), "report"),
    **dict.fromkeys(("batches", "runs", "show"), "show"),
    **dict.fromkeys(("baseline", "compare", "power"), "stats"),
}
"""Commands of the first level to the plugin of this project that brings each, for whoever lacks it."""


@dataclass(frozen=True, slots=True)
class Installed:
    """One entry point of the group, with the distribution that declares it."""

    namespace: str
    """The entry point's name: of a command, what is typed after `themis`; of an output, its option."""
    distribution: str
    version: str
    entry_point: EntryPoint

    @property
    def label(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def summary(self) -> str:
        """The distribution's one-line description; empty if it has none."""
        dist = self.entry_point.dist
        return str(dist.metadata.get("Summary") or "") if dist else ""

    def origin(self) -> dict[str, Any] | None:
        """What PEP 610 records of where the distribution came from: a URL, a commit; None from an index."""
        dist = self.entry_point.dist
        origin = dist.origin if isinstance(dist, Distribution) else None
        return _plain(origin) if origin is not None else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What an installer left, and what can't be read in it."""

    path: str
    problem: str


def installed() -> dict[str, list[Installed]]:
    """All installed plugins by namespace, sorted; more than one under a namespace is a conflict."""
    return discover()[0]


def commands() -> dict[str, list[Installed]]:
    """All commands of the first level that plugins bring, by name, sorted; two of one name are a conflict."""
    return discover(COMMANDS)[0]


def outputs() -> dict[str, list[Installed]]:
    """All forms in which plugins write a result, by name, sorted; two of one name are a conflict."""
    return discover(OUTPUTS)[0]


def discover(group: str = GROUP) -> tuple[dict[str, list[Installed]], list[Unreadable]]:
    """All entry points of the group by name, and what declares one or may declare one and can't be read.

    Whatever is broken in `site-packages` is nobody's error but that of who names it.
    """
    found: dict[str, list[Installed]] = {}
    unreadable: list[Unreadable] = []
    seen: set[str] = set()
    for distribution in Distribution.discover():
        try:
            points = [point for point in distribution.entry_points if point.group == group]
            if points:
                name, version = name_and_version(distribution)
                if name not in seen:  # what comes later on the path is hidden, as for an import
                    for point in points:
                        found.setdefault(point.name, []).append(Installed(point.name, name, version, point))
                seen.add(name)
        except Exception as error:  # noqa: BLE001 - see the docstring
            unreadable.append(Unreadable(_path_of(distribution), f"{type(error).__name__}: {error}"))
    by_name = {name: sorted(found[name], key=lambda each: each.distribution) for name in sorted(found)}
    return by_name, unreadable


def how_to_install(namespace: str) -> str:
    """How to install a plugin of this project, to follow a sentence; empty for others.

    What a public index has under the name of a typo, or of somebody's plugin, is a stranger's.
    """
    requires = next((each.requires for each in _cores()), None) or []
    published = {name[1] for each in requires if (name := re.match(r"themis-plugin-([\w-]+)", each))}
    return f" To install it: pip install themis-plugin-{namespace}" if namespace in published else ""


def _cores() -> Iterator[Distribution]:
    """The core's distribution, without leftovers of others that had its name."""
    for each in Distribution.discover(name=_CORE):
        try:
            name_and_version(each)
        except Exception:  # noqa: BLE001 - a leftover can be broken in any way
            continue
        yield each


def _path_of(distribution: Distribution) -> str:
    return str(getattr(distribution, "_path", "(unknown)"))  # importlib-metadata has no public name for it


def _plain(value: Any) -> Any:
    # importlib-metadata gives the JSON of direct_url.json as nested namespaces.
    if hasattr(value, "__dict__"):
        return {key: _plain(each) for key, each in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
