"""Specs of how an item is put to a model: messages, examples, follow-up turns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from themis_core.specs.base import Spec
from themis_core.specs.data import DatasetQuerySpec, DatasetSpec

__all__ = ["FewShotSpec", "PromptMessage", "PromptPart", "PromptToolCall", "PromptVariantSpec"]

RESERVED_VARIABLES = frozenset({"item", "examples"})
_CAPABILITIES = {"image_url": "images", "input_audio": "audio", "file": "files"}


class PromptPart(Spec):
    """One part of a message: text, an image, sound or a file.

    What is not text is given by a path, or by a `data:` URL, and an image by an `https:` URL as well. A path is one in
    the folder of the dataset's file, or else in that of the spec; the file is read in planning, and its content is
    what counts: it is in the keys, not its name.
    """

    type: Literal["text", "image_url", "input_audio", "file"] = Field("text", description="What the part is.")
    text: str | None = Field(None, description="Template of a text part.")
    image_url: str | None = Field(None, description="Template of an image's URL or path: PNG, JPEG, GIF or WebP.")
    detail: Literal["auto", "low", "high"] | None = Field(None, description="Resolution asked for an image.")
    input_audio: str | None = Field(None, description="Template of the path or `data:` URL of sound: WAV or MP3.")
    file: str | None = Field(None, description="Template of the path or `data:` URL of a file, such as a PDF.")
    filename: str | None = Field(
        None, description="Template of the name by which the model is told of the file; by default the file's own."
    )

    @model_validator(mode="after")
    def _has_its_content(self) -> PromptPart:
        given = [kind for kind in ("text", "image_url", "input_audio", "file") if getattr(self, kind) is not None]
        if given != [self.type]:
            raise ValueError(f"a part of type {self.type} needs {self.type} and nothing else")
        for name, kind in (("detail", "image_url"), ("filename", "file")):
            if getattr(self, name) is not None and self.type != kind:
                raise ValueError(f"{name} is for parts of type {kind}; this one is of type {self.type}")
        return self

    @property
    def content(self) -> str:
        """The template of what it holds."""
        return str(getattr(self, self.type))


class PromptToolCall(Spec):
    """A call of a tool that an assistant's message shows, as if the model had made it."""

    id: str = Field(min_length=1, description="Id of the call, to which the message with its result refers.")
    name: str = Field(min_length=1, description="Name of the function that is called.")
    arguments: str | dict[str, Any] = Field(
        default_factory=dict,
        description="Its arguments: a mapping, whose texts are templates, or a template of JSON text.",
    )


class PromptMessage(Spec):
    """One message of a prompt: who speaks, and a template of what is said."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(description="Who speaks.")
    content: str | list[PromptPart] = Field(
        "",
        description="Jinja2 template (sandboxed, undefined names are errors), or a list of parts. Only a message with "
        "`tool_calls` may go without.",
    )
    tool_calls: list[PromptToolCall] = Field(
        default_factory=list, description="For the role `assistant`: calls of tools that it makes."
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
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"tool_calls are for the role assistant; this message is of the role {self.role}")
        if "content" not in self.model_fields_set and not self.tool_calls:
            raise ValueError("a message without tool_calls needs content")
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

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities that an engine needs for its messages: `images`, `audio`, `files`, `tools`."""
        messages = (*self.messages, *self.follow_ups, *(self.examples.messages if self.examples else ()))
        parts = {part.type for each in messages if isinstance(each.content, list) for part in each.content}
        calls = any(each.tool_calls or each.role == "tool" for each in messages)
        return frozenset({_CAPABILITIES[kind] for kind in parts if kind != "text"} | ({"tools"} if calls else set()))

    @property
    def holds_media(self) -> bool:
        """Whether it has parts that may be files, whose content is then what is asked about."""
        return bool(self.needs - {"tools"})
