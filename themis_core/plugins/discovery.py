"""Which plugins are installed, from metadata alone: no plugin is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from importlib_metadata import Distribution, EntryPoint, entry_points

__all__ = ["GROUP", "Installed", "installed"]

GROUP = "themis"
"""The entry point group that plugins register in; the entry point's name is the namespace."""


@dataclass(frozen=True, slots=True)
class Installed:
    """One entry point of the group, with the distribution that declares it."""

    namespace: str
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


def installed() -> dict[str, list[Installed]]:
    """All installed plugins by namespace, sorted; more than one under a namespace is a conflict."""
    found: dict[str, list[Installed]] = {}
    for point in entry_points(group=GROUP):
        name = point.dist.name if point.dist else "(unknown)"
        version = point.dist.version if point.dist else "(unknown)"
        found.setdefault(point.name, []).append(Installed(point.name, name, version, point))
    return {name: sorted(found[name], key=lambda each: each.distribution) for name in sorted(found)}


def _plain(value: Any) -> Any:
    # importlib-metadata gives the JSON of direct_url.json as nested namespaces.
    if hasattr(value, "__dict__"):
        return {key: _plain(each) for key, each in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
