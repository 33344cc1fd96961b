"""Compiles and renders a template, and says in words of its own what is wrong with it.

Data is never rendered a second time: what a template inserts is text, whatever it looks like. Jinja2 is imported with
the first template that is more than names and simple conditions, for its some 30 ms.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from themis_templates.plain import joined, parts_of

if TYPE_CHECKING:
    from jinja2 import Template as JinjaTemplate

    from themis_templates.sandbox import Absent, Sandbox

__all__ = ["Expression", "NotThere", "Template", "TemplateError"]

MAX_RENDERED = 20_000_000
"""Characters that one template may give; a loop in a template must not fill the memory."""

_LINE_END = re.compile(r"\r\n|\r|\n")


class TemplateError(ValueError):
    """A template can't be compiled or rendered; the message says why."""


class NotAllowed(TemplateError):
    """A template does what none may, or asks for too much."""


class NotThere(TemplateError):
    """A template asks for what nothing defines; the message names what there is."""

    def __init__(self, message: str, of: str | None) -> None:
        super().__init__(message)
        self.of = of
        """The variable that it was looked for in, or that is not there itself; None if it was looked for deeper."""


Reads = Mapping[str, frozenset[str] | None]


class Template:
    """A template as Jinja2 compiled it. Raises TemplateError, with the line in the template, if it can't be."""

    def __init__(self, text: str, insert: Callable[[Any], str] | None = None) -> None:
        """`insert` makes text of each value that the template prints, such as by encoding it; what it raises as
        ValueError is told as TemplateError. Filters, tests and conditions see values as they are.
        """
        self._text = text
        self._insert = insert
        self._line_end = _line_end(text)
        self._parts = parts_of(text) if insert is None else None
        if self._parts is None:
            self._jinja  # noqa: B018 - so that what is wrong with it is told now

    @cached_property
    def _jinja(self) -> JinjaTemplate:
        environment = _environment(self._line_end, self._insert)
        with _compiling("template"):
            return environment.template(self._text)

    @cached_property
    def reads(self) -> Reads:
        """The variables that it names, each with the fields that it names of it; None if it reads it in another way."""
        environment = _environment(self._line_end)
        return environment.reads(environment.parse(self._text))

    def render(self, context: Mapping[str, Any], of: str) -> str:
        """Render for these variables; `of`, such as `item 7`, says in messages for what. Raises TemplateError."""
        text = None if self._parts is None else joined(self._parts, context)
        if text is None:
            text = _rendered(self._jinja, context, of)
        if len(text) > MAX_RENDERED:
            raise TemplateError(f"the template gives more than {MAX_RENDERED:,} characters for {of}")
        return text


class Expression:
    """An expression as templates have it between braces, such as `'yes' in answer`: it holds, or it does not.

    Raises TemplateError if it can't be compiled.
    """

    def __init__(self, text: str) -> None:
        if text.lstrip().startswith(("{{", "{%")):
            raise TemplateError("an expression stands without braces, as in: 'yes' in answer")
        environment = _environment("\n")
        with _compiling("expression"):
            source = environment.condition(text)
            self.reads: Reads = environment.reads(source)
            """As for templates."""
            self._jinja = environment.template(text, source)

    def holds(self, context: Mapping[str, Any], of: str) -> bool:
        """Whether it is true for these variables; `of` says in messages for what. Raises TemplateError."""
        return _rendered(self._jinja, context, of) == "True"


@contextmanager
def _compiling(what: str) -> Iterator[None]:
    from jinja2 import TemplateSyntaxError

    try:
        yield
    except TemplateSyntaxError as error:
        raise TemplateError(f"{what}, line {error.lineno}: {error.message}") from error
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
        # Jinja makes Python code of it, and Python has limits of its own.
        raise TemplateError(f"the {what} nests too deeply, or holds too large a number: {error}") from error


def _line_end(text: str) -> Any:
    """The one that the text has, which Jinja then keeps; it would make one of several."""
    ends = sorted(set(_LINE_END.findall(text)))
    if len(ends) > 1:
        told = ", ".join(map(repr, ends))
        raise TemplateError(f"the template has line ends of {len(ends)} kinds ({told}), and can keep one: use one kind")
    return ends[0] if ends else "\n"


@lru_cache(maxsize=8)
def _environment(line_end: Any, insert: Callable[[Any], str] | None = None) -> Sandbox:
    from themis_templates.sandbox import Sandbox

    return Sandbox(line_end, insert)


def _rendered(template: JinjaTemplate, context: Mapping[str, Any], of: str) -> str:
    from jinja2 import TemplateError as JinjaError
    from jinja2.exceptions import SecurityError

    from themis_templates.bounds import TooMuch, counting
    from themis_templates.sandbox import Absent

    try:
        with counting():
            return template.render(context)
    except Absent as error:
        raise NotThere(f"{_not_there(error, context)} ({of})", _owner(error, context)) from error
    except (MemoryError, RecursionError, OverflowError) as error:
        raise NotAllowed(f"the template asks for too much at {of}: {error}") from error
    except (SecurityError, TooMuch) as error:
        raise NotAllowed(f"the template can't be rendered for {of}: {error}") from error
    except (JinjaError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise TemplateError(f"the template can't be rendered for {of}: {error}") from error


def _owner(error: Absent, context: Mapping[str, Any]) -> str | None:
    """The variable that a name was looked for in, or the name itself if it is that of a variable."""
    if error.is_variable:
        return error.name
    return next((each for each, value in context.items() if isinstance(value, dict) and value is error.owner), None)


def _not_there(error: Absent, context: Mapping[str, Any]) -> str:
    name = error.name
    mappings = {each: value for each, value in context.items() if isinstance(value, dict)}
    owner = error.owner if isinstance(error.owner, dict) else {}
    variable = _owner(error, context)
    if error.is_variable:
        what = f"the template names {name!r}, which nothing defines"
        within = next((f"{each}.{name}" for each, value in mappings.items() if name in value), None)
        return what + _known("Known", context, name, within)
    if variable is not None:
        return f"the {variable} has no field {name!r}" + _known("Fields", owner, name)
    return f"the template asks for {name!r}, which is not there" + _known("There are", owner, name)


def _known(title: str, there: Iterable[Any], name: str, guess: str | None = None) -> str:
    known = sorted(map(str, there))
    guess = guess or _closest(name, known)
    return (f". {title}: {', '.join(known)}." if known else "") + (f" Did you mean {guess!r}?" if guess else "")


def _closest(word: str, known: list[str]) -> str | None:
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[close[0]] if close else None
