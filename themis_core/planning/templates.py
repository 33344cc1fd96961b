"""Renders prompts and computed columns for items, and says where in the spec a template is wrong.

What templates may do is not said here, but by the library that renders them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from themis_core.errors import SpecError
from themis_core.reading import Place
from themis_core.records import Item
from themis_core.specs import PromptMessage, PromptPart, PromptToolCall, PromptVariantSpec, digest
from themis_media import Media
from themis_sampling import Example, Examples, OwnExamples
from themis_templates import Template, TemplateError

__all__ = ["Prompt", "PromptTemplate", "compile_template", "item_context", "render"]


def compile_template(text: str, place: Place) -> Template:
    """Compile a template; a syntax error becomes a SpecError that names the place and the line in the template."""
    try:
        return Template(text)
    except TemplateError as error:
        raise place.error(str(error)) from error


def render(template: Template, context: Mapping[str, Any], place: Place, item: str) -> str:
    """Render one template; `item` says for which item, in the SpecError that a failure becomes."""
    try:
        return template.render(context, f"item {item}")
    except TemplateError as error:
        raise place.error(str(error)) from error


def item_context(item: Item) -> dict[str, Any]:
    """What templates see as `item`: the fields, and id, reference and metadata where no field has the name."""
    return {"id": item.id, "reference": item.reference, "metadata": item.metadata, **item.fields}


class PromptTemplate:
    """A template for plugins, such as a judge's prompt: what specs can write in prompts, and how it fails, is the same.

    Raises SpecError for a syntax error.
    """

    def __init__(self, text: str) -> None:
        self._compiled = compile_template(text, Place())

    def render(self, item: Item, **variables: Any) -> str:
        """Render for one item: `item` as prompts see it, and the variables. Raises SpecError."""
        return render(self._compiled, {**variables, "item": item_context(item)}, Place(), repr(item.id))


class Asks(NamedTuple):
    """What a prompt says about one item."""

    messages: list[dict[str, Any]]
    """Of the first request: leading system messages, examples, the rest."""
    follow_ups: list[dict[str, Any]]
    """The further user turns, in order."""
    told: list[dict[str, Any]]
    """What a model that plays the user is told before the conversation."""
    digest: str
    """Identity of the prompt as the item gets it, with its examples."""


class Prompt:
    """A prompt variant with its templates compiled and its examples at hand."""

    def __init__(
        self,
        spec: PromptVariantSpec,
        examples: Sequence[Example],
        place: Place,
        spares: Callable[[], Sequence[Example]] = tuple,
        *,
        by_id: bool = False,
        media: Media | None = None,
        folders: Sequence[Path] = (),
    ) -> None:
        """`spares` can take the place of examples; `by_id`: examples and items are of one dataset.

        What its parts hold is read from files in `folders`, in this order, and joins `media`.
        """
        self.spec = spec
        self.place = place
        shown = [each.data for each in examples]
        self.digest = digest([spec.identity(), shown])
        held = _Held(Media() if media is None else media, folders)
        self._messages = [_Message(m, place.at("messages", i), held) for i, m in enumerate(spec.messages)]
        self._follow_ups = [_Message(m, place.at("follow_ups", i), held) for i, m in enumerate(spec.follow_ups)]
        user = spec.conversation.user if spec.conversation else None
        at = place.at("conversation", "user", "messages")
        self._told = [_Message(m, at / i, held) for i, m in enumerate(user.messages if user else ())]
        self._static: dict[str, Any] = {**spec.variables, "examples": shown}
        shots = spec.examples.messages if spec.examples else []
        self._shot_messages = [_Message(m, place.at("examples", "messages", i), held) for i, m in enumerate(shots)]
        # Examples are the same for almost every item, so they are rendered once.
        self._shots = self._rendered_shots(shown)
        self._leading = 0
        while self._leading < len(self._messages) and spec.messages[self._leading].role in ("system", "developer"):
            self._leading += 1
        self._examples = Examples(examples, spares, ask=self._asked, by_id=by_id)
        replaces = spec.examples is None or spec.examples.item_under_test == "replace"
        self._may_replace = replaces and bool(self._examples.shown)
        self._latest: tuple[Item, OwnExamples | None] | None = None
        self.holds_media = spec.holds_media

    def asks(self, item: Item) -> Asks:
        """All that it says about one item."""
        own = self.own_examples(item) if self._may_replace else None
        context = {**self._static, "item": item_context(item)}
        shots, identity = self._shots, self.digest
        if own is not None:
            context["examples"] = list(own.data)
            shots, identity = self._rendered_shots(own.data), digest([self.digest, list(own.data)])
        of = repr(item.id)
        messages = [message.render(context, of) for message in self._messages]
        if shots:
            messages[self._leading : self._leading] = shots
        follow_ups = [message.render(context, of) for message in self._follow_ups] if self._follow_ups else []
        told = [message.render(context, of) for message in self._told] if self._told else []
        return Asks(messages, follow_ups, told, identity)

    def opening(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of `messages` with which the conversation begins: without leading system messages and examples."""
        rest = len(self._messages) - self._leading
        return list(messages[len(messages) - rest :])

    def own_examples(self, item: Item) -> OwnExamples | None:
        """What an item that is among the examples is shown in their place; None for all others."""
        if not self._examples.shown:
            return None
        if self._latest is None or self._latest[0] is not item:
            context = {**self._static, "item": item_context(item)}
            asked = _texts([message.render(context, repr(item.id)) for message in self._messages])
            self._latest = item, self._examples.own(item, asked)
        return self._latest[1]

    def _rendered_shots(self, examples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            message.render({**self._static, "examples": examples, "item": example}, f"example {number}")
            for number, example in enumerate(examples, 1)
            for message in self._shot_messages
        ]

    def _asked(self, example: Mapping[str, Any]) -> str | None:
        """What the prompt would say if an example were the item; None if it lacks what an item has."""
        context = {**self._static, "item": example}
        try:
            return _texts([message.render(context, "of the examples") for message in self._messages])
        except SpecError:
            return None


def _texts(messages: Sequence[dict[str, Any]]) -> str:
    return "\n".join(str(message["content"]) for message in messages)


class _Held(NamedTuple):
    """Where what is no text is kept, and the folders of its files."""

    media: Media
    folders: Sequence[Path]


class _Message:
    def __init__(self, spec: PromptMessage, place: Place, held: _Held) -> None:
        self.head = {"role": spec.role, **({"tool_call_id": spec.tool_call_id} if spec.tool_call_id else {})}
        self.place = place / "content"
        self.calls = [_ToolCall(each, place.at("tool_calls", i)) for i, each in enumerate(spec.tool_calls)]
        self.parts: list[_Part] | None = None
        if isinstance(spec.content, str):
            self.template = compile_template(spec.content, self.place)
        else:
            self.parts = [_Part(part, self.place / index, held) for index, part in enumerate(spec.content)]

    def render(self, context: Mapping[str, Any], item: str) -> dict[str, Any]:
        content: Any
        if self.parts is None:
            content = render(self.template, context, self.place, item)
        else:
            content = [part.render(context, item) for part in self.parts]
        if not self.calls:
            return {**self.head, "content": content}
        return {**self.head, "content": content, "tool_calls": [call.render(context, item) for call in self.calls]}


class _Part:
    def __init__(self, spec: PromptPart, place: Place, held: _Held) -> None:
        self.spec = spec
        self.place = place
        self.held = held
        self.template = compile_template(spec.content, place)
        self.filename = None if spec.filename is None else compile_template(spec.filename, place / "filename")

    def render(self, context: Mapping[str, Any], item: str) -> dict[str, Any]:
        kind = self.spec.type
        given = render(self.template, context, self.place, item)
        if kind == "text":
            return {"type": "text", "text": given}
        name = None if self.filename is None else render(self.filename, context, self.place, item)
        try:
            part = self.held.media.part(kind, given, self.held.folders, name)
        except (ValueError, OSError) as error:
            raise self.place.error(f"{error} (item {item})") from error
        if self.spec.detail:
            part[kind]["detail"] = self.spec.detail
        return part


class _ToolCall:
    def __init__(self, spec: PromptToolCall, place: Place) -> None:
        self.spec = spec
        self.place = place / "arguments"
        self.arguments = self._compiled(spec.arguments)

    def render(self, context: Mapping[str, Any], item: str) -> dict[str, Any]:
        arguments = self._rendered(self.arguments, context, item)
        text = arguments if isinstance(self.spec.arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return {"id": self.spec.id, "type": "function", "function": {"name": self.spec.name, "arguments": text}}

    def _compiled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._compiled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._compiled(each) for each in value]
        return compile_template(value, self.place) if isinstance(value, str) else value

    def _rendered(self, value: Any, context: Mapping[str, Any], item: str) -> Any:
        if isinstance(value, dict):
            return {name: self._rendered(each, context, item) for name, each in value.items()}
        if isinstance(value, list):
            return [self._rendered(each, context, item) for each in value]
        return render(value, context, self.place, item) if isinstance(value, Template) else value
