"""Specs of how an item is put to a model: messages, examples, follow-up turns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from themis_core.specs.base import Spec
from themis_core.specs.data import DatasetQuerySpec, DatasetSpec

__all__ = ["FewShotSpec", "PromptMessage", "PromptPart", "PromptVariantSpec"]

RESERVED_VARIABLES = frozenset({"item", "examples"})


class PromptPart(Spec):
    """One part of a message: text, or an image by URL (`https:` or `data:`)."""

    type: Literal["text", "image_url"] = Field("text", description="What the part is.")
    text: str | None = Field(None, description="Template of a text part.")
    image_url: str | None = Field(None, description="Template of an image part's URL.")
    detail: Literal["auto", "low", "high"] | None = Field(None, description="Resolution asked for an image.")

    @model_validator(mode="after")
    def _has_its_content(self) -> PromptPart:
        if (self.text is None) == (self.type == "text") or (self.image_url is None) == (self.type == "image_url"):
            raise ValueError(f"a part of type {self.type} needs {self.type} and nothing else")
        return self


class PromptMessage(Spec):
    """One message of a prompt: who speaks, and a template of what is said."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(description="Who speaks.")
    content: str | list[PromptPart] = Field(
        description="Jinja2 template (sandboxed, undefined names are errors), or a list of parts."
    )
    tool_call_id: str | None = Field(
        None, min_length=1, description="For the role `tool`: id of the call whose result this is."
    )

    @model_validator(mode="after")
    def _names_its_call(self) -> PromptMessage:
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError(
                "a message of the role tool needs tool_call_id, the id of the call whose result it is"
                if self.role == "tool"
                else f"tool_call_id is for the role tool; this message is of the role {self.role}"
            )
        return self


class FewShotSpec(Spec):
    """Worked examples shown before the item.

    Templates see them as the list `examples`; with `messages`, each example is also rendered to messages of its
    own (as `item`), placed after the leading system messages.
    """

    items: list[dict[str, Any]] = Field(default_factory=list, description="Examples written out here.")
    dataset: DatasetSpec | None = Field(None, description="Dataset to take examples from, such as a train split.")
    dataset_query: DatasetQuerySpec = Field(
        default_factory=DatasetQuerySpec, description="Which of its items are shown, in the dataset's order."
    )
    messages: list[PromptMessage] = Field(
        default_factory=list,
        description="Templates that turn one example into messages, usually user and assistant.",
    )
    item_under_test: Literal["replace", "allow"] = Field(
        "replace",
        description="What if the item that is asked is among its examples, by id (of one dataset) or by text: another "
        "example takes its place, or it is shown with its answer.",
    )

    @model_validator(mode="after")
    def _has_one_origin(self) -> FewShotSpec:
        if bool(self.items) == (self.dataset is not None):
            raise ValueError("examples need either items or dataset")
        return self


class PromptVariantSpec(Spec):
    """One way to ask: messages, examples, follow-up turns, static variables."""

    id: str = Field(description="Name of the variant, unique in the benchmark.", min_length=1)
    family: str | None = Field(None, description="Group of variants that a slice can name as one.")
    messages: list[PromptMessage] = Field(description="Messages of the request, in order.", min_length=1)
    examples: FewShotSpec | None = Field(None, description="Worked examples shown before the item.")
    follow_ups: list[PromptMessage] = Field(
        default_factory=list,
        description="User turns sent one by one after the model's answers; the last answer is the one scored.",
    )
    variables: dict[str, Any] = Field(
        default_factory=dict, description="Static variables that the templates see by name."
    )

    @field_validator("variables")
    @classmethod
    def _no_reserved_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := RESERVED_VARIABLES & value.keys():
            raise ValueError(f"{', '.join(sorted(taken))}: this name is taken, choose another")
        return value
