"""Specs of how an item is put to a model: messages, examples, follow-up turns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from themis_core.specs.base import Spec, mistake
from themis_core.specs.data import DatasetQuerySpec, DatasetSpec
from themis_core.specs.inference import InferenceParamsSpec
from themis_core.specs.models import ModelSpec

__all__ = [
    "ConversationSpec",
    "FewShotSpec",
    "PromptMessage",
    "PromptPart",
    "PromptToolCall",
    "PromptVariantSpec",
    "SimulatedUserSpec",
    "TurnRuleSpec",
]

RESERVED_VARIABLES = frozenset({"item", "examples"})
_CAPABILITIES = {"image_url": "images", "input_audio": "audio", "file": "files"}
OF_CONVERSATIONS = frozenset({"answer", "answers", "call", "reply", "said", "status", "tool_calls", "turn"})
"""What templates and expressions of a conversation see of what was said."""


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


class TurnRuleSpec(Spec):
    """One thing that a user says in a conversation, and when.

    Templates and expressions see `item`, the static variables, and what was said: `answer`, the last one; `answers`,
    all of them; `said`, what the user said before; `turn`, the number of answers so far; `status` (`answered` or
    `truncated`) and `tool_calls` of the last answer.
    """

    when: str | None = Field(
        None,
        min_length=1,
        description="Expression, such as `'order number' in answer|lower`: the rule applies where it is true. Without "
        "it, the rule always applies.",
    )
    say: str | None = Field(None, min_length=1, description="Template of what the user says.")
    result: str | None = Field(
        None,
        min_length=1,
        description="Instead of `say`: template of what a tool call of the answer gives, which it sees as `call`. Each "
        "call of the answer gets a message of the role `tool`; the rule applies to answers with calls alone.",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> TurnRuleSpec:
        if (self.say is None) == (self.result is None):
            raise ValueError("a rule needs either `say`, what the user says, or `result`, what a tool call gives")
        return self

    @property
    def always(self) -> bool:
        """Whether no rule after it can ever apply."""
        return self.when is None and self.say is not None


class SimulatedUserSpec(Spec):
    """A model that plays the user, asked as the models under test are: same limits, retries, storage and budget."""

    model: ModelSpec = Field(description="The model that plays the user.")
    params: InferenceParamsSpec = Field(default_factory=InferenceParamsSpec, description="Its settings.")
    messages: list[PromptMessage] = Field(
        min_length=1,
        description="What it is told before the conversation: whom it plays, what that person wants and knows. The "
        "templates see `item` and the static variables. The conversation follows with the roles swapped, so that the "
        "answers of the model under test are its user's messages.",
    )
    until: str | None = Field(
        None,
        min_length=1,
        description="Expression on what it says, `reply`, such as `'[END]' in reply`: where it is true, the "
        "conversation is over, and that reply is not sent.",
    )

    @model_validator(mode="after")
    def _asks_for_a_text(self) -> SimulatedUserSpec:
        for index, message in enumerate(self.messages):
            if message.role == "tool" or message.tool_calls:
                raise mistake(("messages", index), "a user calls no tools, so no message tells of a call")
            if isinstance(message.content, list) and any(part.type != "text" for part in message.content):
                raise mistake(("messages", index, "content"), "a model that plays the user is told texts alone")
        for loc, given in ((("params",), self.params), (("model", "params", "set"), self.model.params.set)):
            if (given.n or 1) > 1:
                raise mistake((*loc, "n"), "a user says one thing at a time: the further choices would be for nothing")
            if given.tools:
                raise mistake((*loc, "tools"), "a user says something, and calls no tools")
        return self


class ConversationSpec(Spec):
    """Turns that depend on what was said. After each answer: `until`, then the first of the `rules` that applies, else
    the simulated `user`; if there is none, the conversation is over. The last answer is the one scored."""

    max_turns: int = Field(ge=2, le=100, description="Most answers of the model under test.")
    rules: list[TurnRuleSpec] = Field(
        default_factory=list, description="What the user says, by rule: the first one that applies."
    )
    user: SimulatedUserSpec | None = Field(None, description="A model that speaks where no rule applies.")
    until: str | None = Field(
        None,
        min_length=1,
        description="Expression on what was said, such as `'resolved' in answer|lower`: where it is true, the "
        "conversation is over.",
    )

    @model_validator(mode="after")
    def _somebody_speaks(self) -> ConversationSpec:
        if not self.rules and self.user is None:
            raise ValueError("nobody would say anything: add `rules`, or a `user` that is a model")
        for index, rule in enumerate(self.rules):
            if rule.always and index + 1 < len(self.rules):
                raise mistake(("rules", index + 1), f"it can't apply: rules[{index}] has no `when`, so it always does")
            if rule.always and self.user is not None:
                raise mistake(("user",), f"it would never be asked: rules[{index}] has no `when`, so it always applies")
        return self


class PromptVariantSpec(Spec):
    """One way to ask: messages, examples, follow-up turns or a conversation, static variables."""

    id: str = Field(description="Name of the variant, unique in the benchmark.", min_length=1)
    family: str | None = Field(None, description="Group of variants that a slice can name as one.")
    messages: list[PromptMessage] = Field(description="Messages of the request, in order.", min_length=1)
    examples: FewShotSpec | None = Field(None, description="Worked examples shown before the item.")
    follow_ups: list[PromptMessage] = Field(
        default_factory=list,
        description="User turns sent one by one after the model's answers; the last answer is the one scored.",
    )
    conversation: ConversationSpec | None = Field(
        None,
        # Variants without one keep the identities that they had before there were conversations.
        exclude_if=lambda value: value is None,
        description="Instead of follow-ups: turns that depend on what was said, by rule or by a model that plays the "
        "user.",
    )
    variables: dict[str, Any] = Field(
        default_factory=dict, description="Static variables that the templates see by name."
    )

    @model_validator(mode="after")
    def _has_one_kind_of_turns(self) -> PromptVariantSpec:
        if self.conversation is None:
            return self
        if self.follow_ups:
            raise mistake(
                ("conversation",),
                "there are follow_ups as well: keep one of the two. In a conversation, a fixed turn is a rule such as "
                "{when: turn == 1, say: ...}",
            )
        if taken := sorted(OF_CONVERSATIONS & self.variables.keys()):
            raise mistake(("variables", taken[0]), "a conversation has this name for what was said, choose another")
        return self

    def identity(self) -> dict[str, Any]:
        """The variant as plain data, without the price of a model that plays the user."""
        data = self.canonical()
        if self.conversation is not None and self.conversation.user is not None:
            del data["conversation"]["user"]["model"]["price"]
        return data

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
        calls = calls or any(rule.result for rule in (self.conversation.rules if self.conversation else ()))
        return frozenset({_CAPABILITIES[kind] for kind in parts if kind != "text"} | ({"tools"} if calls else set()))

    @property
    def holds_media(self) -> bool:
        """Whether it has parts that may be files, whose content is then what is asked about."""
        return bool(self.needs - {"tools"})
