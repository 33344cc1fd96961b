"""What engines are handed of an item besides the prompt, and which of them are put a prompt at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from themis_core.components import Engine
from themis_core.errors import SpecError
from themis_core.plugins import ComposedModel, ComposedSlice
from themis_core.records import Item
from themis_core.specs import FieldMappingSpec
from themis_wording import did_you_mean

__all__ = ["NO_PROMPT", "Handing", "HandedRow", "handed_rows", "handing_of"]

NO_PROMPT: Final = "none"
"""Prompt variant of a trial whose engine reads no prompt."""
ALL: Final = "*"
METADATA: Final = "metadata"
REFERENCE: Final = "reference"


@dataclass(frozen=True, slots=True)
class HandedRow:
    """What one model of one slice is handed of each item."""

    slice_id: str
    model_id: str
    item: tuple[str, ...]
    """As `Engine.item_fields` names it."""
    reference: bool
    """Whether the reference is handed over, by its name or by that of its column."""
    prompt: bool
    """Whether the model is put a prompt."""


class Handing:
    """Takes of items what an engine names. The columns of the reference are in no `*`: who wants them names them."""

    def __init__(self, model: ComposedModel, fields: FieldMappingSpec) -> None:
        self._who = f"model {model.spec.model_id!r} ({model.component})"
        named = [(name.removesuffix("?"), name.endswith("?")) for name in model.item_fields]
        wanted = dict(named)
        self._whole = ALL in wanted
        self._metadata: bool | None = wanted.get(METADATA)
        """Whether it is optional; None if it is not named. So is `_reference`."""
        self._reference: bool | None = wanted.get(REFERENCE)
        self._fields = [each for each in named if each[0] not in (ALL, METADATA, REFERENCE)]
        self._hidden = _columns_of_reference(fields)
        self._has_reference = fields.reference is not None
        self._has_metadata = bool(fields.metadata)
        self.hands_reference = (self._has_reference and self._reference is not None) or any(
            name in self._hidden for name, _ in self._fields
        )

    def of(self, item: Item) -> dict[str, Any]:
        """What is handed over of an item, by name. Raises SpecError for what it does not have."""
        handed: dict[str, Any] = {}
        if self._whole:
            handed |= {name: value for name, value in item.fields.items() if name not in self._hidden}
        for name, optional in self._fields:
            if name in item.fields:
                handed[name] = item.fields[name]
            elif not optional:
                raise self._missing(name, item)
        for name, wanted, there, value in (
            (METADATA, self._metadata, self._has_metadata, item.metadata),
            (REFERENCE, self._reference, self._has_reference, item.reference),
        ):
            if wanted is None or not (there or self._is_needed(name, wanted)):
                continue
            if name in handed:
                raise SpecError(
                    f"{self._who} is to be handed {name!r}, and item {item.id!r} has a field of this name as well: "
                    "rename it with dataset.fields.rename"
                )
            handed[name] = self._without_reference(value) if name == METADATA else value
        return handed

    def _without_reference(self, metadata: dict[str, Any]) -> dict[str, Any]:
        if self.hands_reference:
            return metadata
        return {name: value for name, value in metadata.items() if name not in self._hidden}

    def _is_needed(self, name: str, optional: bool) -> bool:
        if not optional:
            raise SpecError(f"{self._who} is to be handed the item's {name}, and dataset.fields.{name} names none")
        return False

    def _missing(self, name: str, item: Item) -> SpecError:
        more = [name for name, has in ((METADATA, self._has_metadata), (REFERENCE, self._has_reference)) if has]
        known = list(dict.fromkeys([*item.fields, *more]))
        listed = f"It has: {', '.join(known)}." if known else "It has none."
        return SpecError(f"{self._who} is to be handed {name!r}, and item {item.id!r} has no such field. {listed}"
                         f"{did_you_mean(name, known)}")  # fmt: skip


def handing_of(model: ComposedModel, composed: ComposedSlice) -> Handing | None:
    """What a model of a slice is handed of items; None if its engine names nothing."""
    return Handing(model, composed.dataset.spec.fields) if model.item_fields else None


def handed_rows(slices: list[ComposedSlice]) -> list[HandedRow]:
    """One row for each model of each slice that is handed more than a prompt, or none."""
    rows = []
    for each in slices:
        for model in each.models:
            handing, engine = handing_of(model, each), model.engine
            if handing is not None or not engine.reads_prompt:
                rows.append(_row(each, model, engine, handing))
    return rows


def _row(each: ComposedSlice, model: ComposedModel, engine: Engine, handing: Handing | None) -> HandedRow:
    names = model.item_fields
    handed = handing is not None and handing.hands_reference
    return HandedRow(each.spec.slice_id, model.spec.model_id, names, handed, engine.reads_prompt)


def _columns_of_reference(fields: FieldMappingSpec) -> frozenset[str]:
    """The names of fields that hold the reference, or what it is a part of."""
    path = fields.reference
    if path is None:
        return frozenset()
    outer = {path, *(path[:end] for end, char in enumerate(path) if char == ".")}
    renamed = {name for name, column in fields.rename.items() if column in outer or column.startswith(f"{path}.")}
    return frozenset({*outer, *renamed})
