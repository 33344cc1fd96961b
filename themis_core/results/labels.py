"""What scores are grouped by: names such as `model` and `metadata.category`, and the value of each for a trial."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from themis_core.components import Store
from themis_core.errors import SpecError
from themis_core.results.manifests import Arm
from themis_core.specs import BenchmarkSpec, canonical_json, settings_of
from themis_wording import did_you_mean

__all__ = ["Label", "Labels", "benchmark_of", "checked", "with_metadata"]

Label = str | None
OF_ARMS = ("slice", "model", "prompt", "params")
AT_ONCE = 2_000
"""Rows whose items are looked up together."""


class _OfItem(Protocol):
    @property
    def item_digest(self) -> str: ...


Row = TypeVar("Row", bound=_OfItem)


def benchmark_of(manifest: Mapping[str, Any]) -> BenchmarkSpec | None:
    """What a run was of; None if its manifest does not say."""
    return BenchmarkSpec.model_validate(manifest["benchmark"]) if "benchmark" in manifest else None


def checked(by: Iterable[str], benchmark: BenchmarkSpec | None) -> tuple[str, ...]:
    """The names that results are to be grouped by, each once. Raises SpecError if one is not known."""
    names = tuple(dict.fromkeys(by))
    for name in names:
        known = benchmark.group_names(name) if benchmark else [*OF_ARMS, "sample"]
        if name not in known:
            hint = did_you_mean(name, known)
            raise SpecError(f"results can't be grouped by {name!r}. Known: {', '.join(known)}.{hint}")
    return names


class Labels:
    """The values of some names."""

    def __init__(self, names: Sequence[str], manifest: Mapping[str, Any]) -> None:
        self.names = tuple(names)
        self.metadata = [name.removeprefix("metadata.") for name in names if name.startswith("metadata.")]
        self.of_rows = bool(self.metadata) or "sample" in names
        """Whether trials of one arm differ in them."""
        self._dimensions: Mapping[str, Mapping[str, str]] = manifest.get("dimensions", {})
        variants = manifest.get("benchmark", {}).get("prompt_variants", ())
        self._families: dict[str, Label] = {each["id"]: each.get("family") for each in variants}

    def of(self, arm: Arm, sample: int, metadata: Mapping[str, Any]) -> tuple[Label, ...]:
        """One value per name; None where there is none."""
        return tuple(self._one(name, arm, sample, metadata) for name in self.names)

    def _one(self, name: str, arm: Arm, sample: int, metadata: Mapping[str, Any]) -> Label:
        if name in OF_ARMS:
            return arm[OF_ARMS.index(name)]
        kind, _, key = name.partition(".")
        if kind == "dimensions":
            return self._dimensions.get(arm[0], {}).get(key)
        if kind == "params":
            return settings_of(arm[3]).get(key)
        if kind == "family":
            return self._families.get(arm[2])
        return str(sample) if kind == "sample" else _text(metadata.get(key))

    def metadata_of(self, metadata: Mapping[str, Any]) -> tuple[Label, ...]:
        """What tells the items apart."""
        return tuple(_text(metadata.get(name)) for name in self.metadata)


def _text(value: Any) -> Label:
    return value if value is None or isinstance(value, str) else canonical_json(value)


def with_metadata(store: Store, rows: Iterator[Row], wanted: bool) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    """Each row with its item's metadata, looked up in batches; without it, unless it is wanted."""
    if not wanted:
        yield from ((row, _NONE) for row in rows)
        return
    while batch := list(islice(rows, AT_ONCE)):
        found = store.metadata(list({row.item_digest for row in batch}))
        for row in batch:
            yield row, found.get(row.item_digest, _NONE)


_NONE: Mapping[str, Any] = {}
