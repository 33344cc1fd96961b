"""Specs of what is asked about: datasets, how rows become items, and which items are taken."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from themis_core.specs.base import Spec

__all__ = ["DatasetQuerySpec", "DatasetSpec", "FieldMappingSpec", "TransformSpec"]

Scalar = str | int | float | bool | None


class FieldMappingSpec(Spec):
    """Which columns of a row become the item's id, reference, output and metadata.

    Values are column names; a dot reaches into nested objects (`answer.value`), a number into lists.
    """

    id: str | None = Field(
        None,
        description="Column of the item id. Without it: the column `id` if the rows have one, "
        "else a digest of the row's content.",
    )
    reference: str | None = Field(
        None, description="Column of the reference (gold) answer. Without it, items have no reference."
    )
    output: str | None = Field(
        None, description="Column of an output that the rows already carry, for slices without `generation`."
    )
    model: str | None = Field(
        None, description="Column that names the model of a carried output. Without it: `recorded`."
    )
    metadata: list[str] = Field(
        default_factory=list,
        description="Columns kept as metadata, for filters and grouping, instead of as fields.",
    )
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="New field name: column it comes from. All other columns keep their name.",
    )


class TransformSpec(Spec):
    """A field computed from a row before it is mapped, by a template over the row's columns."""

    field: str = Field(description="Name of the column to set; an existing one is replaced.", min_length=1)
    template: str = Field(
        description="Jinja2 template (sandboxed); `item` is the row: `{{ item.answer.split('#### ')[-1] }}`."
    )
    as_type: Literal["text", "number", "json"] = Field(
        "text", alias="as", description="How the rendered text is read: as it is, as a number, or as JSON."
    )
    decimal: Literal[".", ","] = Field(
        ".", description="Decimal mark of a number; the other one may stand between its thousands."
    )
    model_config = {"populate_by_name": True}

    @model_validator(mode="after")
    def _decimal_is_used(self) -> TransformSpec:
        if self.decimal != "." and self.as_type != "number":
            raise ValueError(f"decimal: only `as: number` reads numbers, not `as: {self.as_type}`")
        return self


class DatasetSpec(Spec):
    """Where items come from: a loader, what it loads, and how rows become items."""

    source: str = Field(description="Dataset loader, `namespace/name`, such as `files/jsonl`.", min_length=1)
    dataset_id: str = Field(
        "",
        description="What to load: a file path (relative to the spec file), or a name on a hub.",
    )
    config_name: str | None = Field(None, description="Named configuration of the dataset, where the source has any.")
    split: str | None = Field(None, description="Split to read, where the source has any.")
    revision: str | None = Field(None, description="Revision to pin, where the source has any; recorded.")
    fields: FieldMappingSpec = Field(
        default_factory=FieldMappingSpec,
        description="Which columns become id, reference, output and metadata.",
    )
    transforms: list[TransformSpec] = Field(
        default_factory=list, description="Columns computed from each row before the mapping, in order."
    )
    extras: dict[str, Any] = Field(default_factory=dict, description="Config of the loader itself.")


class DatasetQuerySpec(Spec):
    """Which items of a dataset a slice takes.

    Order of steps: `item_ids`, then `filters`, then sampling (`kind`), then `limit`. Sampling takes the items with
    the smallest SHA-256 of seed and item id, so it is equal on every machine and appending items displaces only
    as many as it adds.
    """

    kind: Literal["all", "subset", "stratified"] = Field(
        "all",
        description="Take all items, a random subset, or a subset that keeps the proportions of the strata.",
    )
    count: int | None = Field(None, ge=1, description="How many items a subset or stratified sample takes.")
    seed: int | None = Field(None, description="Seed of the sampling; without it the project's global seed, or 0.")
    strata_field: str | None = Field(None, description="Field or metadata whose values are the strata.")
    item_ids: list[str] | None = Field(None, description="Take only items with these ids.")
    filters: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict,
        description="Field or metadata name: the value, or list of values, that an item must have.",
    )
    projected_fields: list[str] | None = Field(
        None, description="Keep only these fields (id, reference, output and metadata stay)."
    )
    limit: int | None = Field(None, ge=1, description="At most this many items, the first ones, after all else.")

    @field_validator("item_ids", mode="before")
    @classmethod
    def _ids_as_text(cls, value: Any) -> Any:
        return [str(each) if isinstance(each, int) else each for each in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _fits_kind(self) -> DatasetQuerySpec:
        if self.kind == "all" and self.count is not None:
            raise ValueError("count needs kind: subset or stratified (for the first N items use limit)")
        if self.kind != "all" and self.count is None:
            raise ValueError(f"kind: {self.kind} needs count")
        if (self.kind == "stratified") != (self.strata_field is not None):
            raise ValueError("strata_field goes with kind: stratified, and only with it")
        return self
