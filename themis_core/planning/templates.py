"""Renders prompt templates and computed columns: Jinja2 in its sandbox, undefined names are errors.

Data is never rendered a second time: what a template inserts is text, whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from themis_core.records import Item
from themis_core.specs import PromptMessage, PromptVariantSpec, digest
from themis_core.specs.problems import Place
from themis_core.specs.source import close_match

if TYPE_CHECKING:
    from jinja2 import Template

    from themis_core.planning.sandbox import NotThere, Sandbox

__all__ = ["CompiledTemplate", "Prompt", "PromptTemplate", "compile_template", "item_context", "render"]

MAX_RENDERED = 20_000_000
"""Characters that one template may give; a loop in a template must not fill the memory."""


@lru_cache(maxsize=1)
def _environment() -> Sandbox:
    from themis_core.planning.sandbox import Sandbox  # some 30 ms that commands without a plan should not wait for

    return Sandbox()


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template as Jinja compiled it, and in short if it only inserts fields of the item."""

    jinja: Template
    pieces: tuple[tuple[str, str | None], ...] | None
    """Literal text and the field that follows it; None if the template does anything else."""


def compile_template(text: str, place: Place) -> CompiledTemplate:
    """Compile a template; a syntax error becomes a SpecError that names the place and the line in the template."""
    from jinja2 import TemplateSyntaxError

    environment = _environment()
    try:
        return CompiledTemplate(environment.template(text), environment.pieces(text))
    except TemplateSyntaxError as error:
        raise place.error(f"template, line {error.lineno}: {error.message}") from error
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
        # Jinja makes Python code of it, and Python has limits of its own.
        raise place.error(f"the template nests too deeply, or holds too large a number: {error}") from error


def render(template: CompiledTemplate, context: Mapping[str, Any], place: Place, item: str) -> str:
    """Render one template; `item` says for which item, in the SpecError that a failure becomes."""
    if template.pieces is not None and (joined := _join(template.pieces, context["item"])) is not None:
        text = joined
    else:
        text = _rendered(template.jinja, context, place, item)
    if len(text) > MAX_RENDERED:
        raise place.error(f"the template gives more than {MAX_RENDERED:,} characters for item {item}")
    return text


def _join(pieces: Sequence[tuple[str, str | None]], item: Mapping[str, Any]) -> str | None:
    """What Jinja would give, in a tenth of its time; None if a field is missing or no text, which is Jinja's to say."""
    texts = []
    for literal, field in pieces:
        texts.append(literal)
        if field is not None:
            value = item.get(field)
            if type(value) is not str:
                return None
            texts.append(value)
    return "".join(texts)


def _rendered(template: Template, context: Mapping[str, Any], place: Place, item: str) -> str:
    from jinja2 import TemplateError

    from themis_core.planning.bounds import counting
    from themis_core.planning.sandbox import NotThere

    try:
        with counting():
            return template.render(context)
    except NotThere as error:
        raise place.error(f"{_not_there(error, context)} (item {item})") from error
    except (MemoryError, RecursionError, OverflowError) as error:
        raise place.error(f"the template asks for too much at item {item}: {error}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise place.error(f"the template can't be rendered for item {item}: {error}") from error


def _not_there(error: NotThere, context: Mapping[str, Any]) -> str:
    name, item = error.name, context.get("item")
    there = context if error.is_variable else error.owner if isinstance(error.owner, dict) else {}
    known = sorted(map(str, there))
    if error.is_variable:
        what, listed = f"the template names {name!r}, which nothing defines", "Known"
    elif error.owner is item:
        what, listed = f"the item has no field {name!r}", "Fields"
    else:
        what, listed = f"the template asks for {name!r}, which is not there", "There are"
    of_item = error.is_variable and isinstance(item, dict) and name in item
    guess = f"item.{name}" if of_item else close_match(name, known)
    return what + (f". {listed}: {', '.join(known)}." if known else "") + (f" Did you mean {guess!r}?" if guess else "")


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

    def __init__(self, spec: PromptVariantSpec, examples: list[dict[str, Any]], place: Place) -> None:
        self.spec = spec
        self.place = place
        self.digest = digest([spec.canonical(), examples])
        self._messages = [_Message(m, place.at("messages", i)) for i, m in enumerate(spec.messages)]
        self._follow_ups = [_Message(m, place.at("follow_ups", i)) for i, m in enumerate(spec.follow_ups)]
        self._static: dict[str, Any] = {**spec.variables, "examples": examples}
        shots = spec.examples.messages if spec.examples else []
        compiled = [_Message(m, place.at("examples", "messages", i)) for i, m in enumerate(shots)]
        # Examples are the same for every item, so they are rendered once.
        self._shots = [
            message.render({**self._static, "item": example}, f"example {number}")
            for number, example in enumerate(examples, 1)
            for message in compiled
        ]
        self._leading = 0
        while self._leading < len(self._messages) and spec.messages[self._leading].role in ("system", "developer"):
            self._leading += 1

    def messages(self, item: Item) -> list[dict[str, Any]]:
        """The first request's messages for one item: leading system messages, examples, the rest."""
        context = {**self._static, "item": item_context(item)}
        rendered = [message.render(context, repr(item.id)) for message in self._messages]
        if self._shots:
            rendered[self._leading : self._leading] = self._shots
        return rendered

    def follow_ups(self, item: Item) -> list[dict[str, Any]]:
        """The further user turns for one item, in order."""
        if not self._follow_ups:
            return []
        context = {**self._static, "item": item_context(item)}
        return [message.render(context, repr(item.id)) for message in self._follow_ups]

    @property
    def has_images(self) -> bool:
        shots = self.spec.examples.messages if self.spec.examples else []
        return any(
            part.type == "image_url"
            for message in (*self.spec.messages, *self.spec.follow_ups, *shots)
            if isinstance(message.content, list)
            for part in message.content
        )


class _Message:
    def __init__(self, spec: PromptMessage, place: Place) -> None:
        self.role = spec.role
        self.place = place / "content"
        self.parts: list[tuple[str, CompiledTemplate, str | None]] | None = None
        if isinstance(spec.content, str):
            self.template = compile_template(spec.content, self.place)
            return
        self.parts = []
        for index, part in enumerate(spec.content):
            text = part.text if part.type == "text" else part.image_url
            self.parts.append((part.type, compile_template(text or "", self.place / index), part.detail))

    def render(self, context: Mapping[str, Any], item: str) -> dict[str, Any]:
        if self.parts is None:
            return {"role": self.role, "content": render(self.template, context, self.place, item)}
        parts: list[dict[str, Any]] = []
        for index, (kind, template, detail) in enumerate(self.parts):
            text = render(template, context, self.place / index, item)
            if kind == "text":
                parts.append({"type": "text", "text": text})
            else:
                parts.append({"type": "image_url", "image_url": {"url": text} | ({"detail": detail} if detail else {})})
        return {"role": self.role, "content": parts}
