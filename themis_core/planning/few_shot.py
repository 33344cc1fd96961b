"""Takes worked examples from datasets, and says which items were among their own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from themis_core.planning.items import Items
from themis_core.planning.templates import Prompt, item_context
from themis_core.plugins import LoadedDataset
from themis_core.reading import Place
from themis_core.records import Item
from themis_core.specs import FewShotSpec, canonical_json, digest
from themis_sampling import Example, rank
from themis_wording import counted

__all__ = ["Leak", "leaks_of", "taken"]

_SHOWN = 3
"""Ids that are named."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Items of one slice that are among the examples of one of its prompts."""

    slice_id: str
    prompt_variant_id: str
    items: int
    of_items: int
    """Items of the slice."""
    replaced: int
    """Items that are shown other examples in the place of themselves."""
    left_out: int
    """Items that are shown fewer examples, because there are no others to take."""
    allowed: int
    """Items that are shown their own answer, because the spec allows it."""
    examples: tuple[str, ...]
    """Ids of the first few."""
    digest: str
    """SHA-256 over the prompts as these items get them: what they are shown is part of a run's identity."""

    def told(self) -> str:
        """The same for people, in one line."""
        counts = {"shown other examples": self.replaced, "shown fewer": self.left_out, "shown all": self.allowed}
        ends = ", ".join(f"{count} {end}" for end, count in counts.items() if count)
        are = f"{self.items} of {counted(self.of_items, 'item')} {'is' if self.items == 1 else 'are'}"
        return (
            f"slice {self.slice_id!r}, prompt {self.prompt_variant_id!r}: {are} among the examples ({ends}), "
            f"such as {', '.join(self.examples)}"
        )


def taken(
    spec: FewShotSpec | None, dataset: LoadedDataset | None, base_dir: Path, seed: int, at: Place
) -> tuple[list[Example], Callable[[], list[Example]]]:
    """The examples of the prompt at a place, and a function that reads those which can take their place."""
    if spec is None or dataset is None:
        return [Example(data) for data in (spec.items if spec else ())], list
    query = spec.dataset_query
    at = at.at("examples", "dataset_query")
    shown = [_example(item, query.strata_field) for item in Items(dataset, query, base_dir, seed, at)]
    ids = {each.item_id for each in shown}

    def spares() -> list[Example]:
        every = {"kind": "all", "count": None, "strata_field": None, "limit": None}
        rest: Iterator[Item] = iter(Items(dataset, query.model_copy(update=every), base_dir, seed, at))
        rest = (item for item in rest if item.id not in ids)
        wanted = 2 * len(shown) + 16
        if query.kind == "all":
            found = list(islice(rest, wanted))
        else:
            by = query.seed if query.seed is not None else seed
            found = heapq.nsmallest(wanted, rest, key=lambda item: rank(by, item.id))
        return [_example(item, query.strata_field) for item in found]

    return shown, spares


def _example(item: Item, strata_field: str | None) -> Example:
    stratum = item.fields.get(strata_field, item.metadata.get(strata_field)) if strata_field else None
    return Example(item_context(item), item.id, canonical_json(stratum))


def leaks_of(slice_id: str, items: Items, prompts: Sequence[Prompt]) -> list[Leak]:
    """The prompts of a slice among whose examples some of its items are."""
    found = []
    for prompt in prompts:
        if prompt.spec.examples is None:
            continue
        ids, fewer, prompts_of = list[str](), 0, list[str]()
        for item in items.every():
            if (own := prompt.own_examples(item)) is not None:
                ids.append(item.id)
                fewer += own.left_out > 0
                prompts_of.append(prompt.asks(item).digest)
        if ids:
            allowed = len(ids) if prompt.spec.examples.item_under_test == "allow" else 0
            replaced, left_out = (0, 0) if allowed else (len(ids) - fewer, fewer)
            named = tuple(ids[:_SHOWN])
            found.append(
                Leak(
                    slice_id,
                    prompt.spec.id,
                    len(ids),
                    items.count,
                    replaced,
                    left_out,
                    allowed,
                    named,
                    digest(prompts_of),
                )
            )
    return found
