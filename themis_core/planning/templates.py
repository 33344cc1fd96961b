"""Renders prompts and computed columns for items, and says where in the spec a template is wrong.

What templates may do is not said here, but by the library that renders them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from themis_core.errors import SpecError
from themis_core.planning.examples import Example, Examples, OwnExamples
from themis_core.reading import Place
from themis_core.records import Item
from themis_core.specs import PromptMessage, PromptVariantSpec, digest
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
    ) -> None:
        """`spares` can take the place of examples; `by_id`: examples and items are of one dataset."""
        self.spec = spec
        self.place = place
        shown = [each.data for each in examples]
        self.digest = digest([spec.canonical(), shown])
        self._messages = [_Message(m, place.at("messages", i)) for i, m in enumerate(spec.messages)]
        self._follow_ups = [_Message(m, place.at("follow_ups", i)) for i, m in enumerate(spec.follow_ups)]
        self._static: dict[str, Any] = {**spec.variables, "examples": shown}
        shots = spec.examples.messages if spec.examples else []
        self._shot_messages = [_Message(m, place.at("examples", "messages", i)) for i, m in enumerate(shots)]
        # Examples are the same for almost every item, so they are rendered once.
        self._shots = self._rendered_shots(shown)
        self._leading = 0
        while self._leading < len(self._messages) and spec.messages[self._leading].role in ("system", "developer"):
            self._leading += 1
        self._examples = Examples(examples, spares, ask=self._asked, by_id=by_id)
        self._replaces = spec.examples is None or spec.examples.item_under_test == "replace"
        self._latest: tuple[Item, OwnExamples | None] | None = None

    def messages(self, item: Item) -> list[dict[str, Any]]:
        """The first request's messages for one item: leading system messages, examples, the rest."""
        own = self._own_if_replaced(item)
        rendered = self._rendered(self._messages, item, own)
        if shots := self._shots if own is None else self._rendered_shots(own.data):
            rendered[self._leading : self._leading] = shots
        return rendered

    def follow_ups(self, item: Item) -> list[dict[str, Any]]:
        """The further user turns for one item, in order."""
        return self._rendered(self._follow_ups, item, self._own_if_replaced(item)) if self._follow_ups else []

    def digest_for(self, item: Item) -> str:
        """Identity of the prompt as one item gets it, with its examples."""
        own = self._own_if_replaced(item)
        return self.digest if own is None else digest([self.digest, list(own.data)])

    def own_examples(self, item: Item) -> OwnExamples | None:
        """What an item that is among the examples is shown in their place; None for all others."""
        if not self._examples.shown:
            return None
        if self._latest is None or self._latest[0] is not item:
            asked = _texts(self._rendered(self._messages, item, None))
            self._latest = item, self._examples.own(item, asked)
        return self._latest[1]

    def _own_if_replaced(self, item: Item) -> OwnExamples | None:
        return self.own_examples(item) if self._replaces else None

    def _rendered(self, messages: list[_Message], item: Item, own: OwnExamples | None) -> list[dict[str, Any]]:
        shown = {} if own is None else {"examples": list(own.data)}
        context = {**self._static, **shown, "item": item_context(item)}
        return [message.render(context, repr(item.id)) for message in messages]

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

    @property
    def has_images(self) -> bool:
        shots = self.spec.examples.messages if self.spec.examples else []
        return any(
            part.type == "image_url"
            for message in (*self.spec.messages, *self.spec.follow_ups, *shots)
            if isinstance(message.content, list)
            for part in message.content
        )


def _texts(messages: Sequence[dict[str, Any]]) -> str:
    return "\n".join(str(message["content"]) for message in messages)


class _Message:
    def __init__(self, spec: PromptMessage, place: Place) -> None:
        self.head = {"role": spec.role, **({"tool_call_id": spec.tool_call_id} if spec.tool_call_id else {})}
        self.place = place / "content"
        self.parts: list[tuple[str, Template, str | None]] | None = None
        if isinstance(spec.content, str):
            self.template = compile_template(spec.content, self.place)
            return
        self.parts = []
        for index, part in enumerate(spec.content):
            text = part.text if part.type == "text" else part.image_url
            self.parts.append((part.type, compile_template(text or "", self.place / index), part.detail))

    def render(self, context: Mapping[str, Any], item: str) -> dict[str, Any]:
        if self.parts is None:
            return {**self.head, "content": render(self.template, context, self.place, item)}
        parts: list[dict[str, Any]] = []
        for index, (kind, template, detail) in enumerate(self.parts):
            text = render(template, context, self.place / index, item)
            if kind == "text":
                parts.append({"type": "text", "text": text})
            else:
                parts.append({"type": "image_url", "image_url": {"url": text} | ({"detail": detail} if detail else {})})
        return {**self.head, "content": parts}
