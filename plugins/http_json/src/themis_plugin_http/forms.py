"""What is sent, as a form that each request fills in: texts with templates, at any depth. No I/O.

A text that is one variable, such as `{{ messages }}` or `{{ item.question }}`, becomes its value, whatever that is; any
other text stays one. Where such a value is none, what would hold it is left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from themis_core import EngineError, InferenceParamsSpec, Request
from themis_templates import Template, TemplateError

__all__ = ["VARIABLES", "Form", "context_of", "path_form"]

VARIABLES: Final = ("item", "messages", "model", "params", "prompt", "seed")
MOST_DEEP: Final = 50
_WHOLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)((?:\.\w+)*)\s*\}\}", re.ASCII)
_LEFT_OUT: Final = object()
_NO_SETTINGS: Final = dict.fromkeys(InferenceParamsSpec.model_fields)


class Form:
    """A tree of plain data whose texts are templates. Raises ValueError, with the place within it, for what is none."""

    def __init__(self, tree: Any, place: str, insert: Callable[[Any], str] | None = None) -> None:
        """`insert` encodes what is inserted; then all texts stay texts."""
        self._place = place
        self._insert = insert
        self.reads: dict[str, set[str] | None] = {}
        """The variables that it reads, each with the fields that it reads of it; None if it reads all of it."""
        self._tree = self._compiled(tree, "", 0)

    def fill(self, context: Mapping[str, Any], of: str) -> Any:
        """The data for these variables. Raises EngineError for what can't be made."""
        try:
            filled = _filled(self._tree, context, of)
        except TemplateError as error:
            raise EngineError("unsupported", f"{self._place}: {error}") from error
        return None if filled is _LEFT_OUT else filled

    def _compiled(self, node: Any, place: str, depth: int) -> Any:
        if depth > MOST_DEEP:
            raise ValueError("it is nested too deeply")
        if isinstance(node, float) and not math.isfinite(node):
            raise _at(place, f"{node} is no number of JSON")
        if isinstance(node, dict):
            return {
                self._key(name, place): self._compiled(value, f"{place}.{name}".lstrip("."), depth + 1)
                for name, value in node.items()
            }
        if isinstance(node, list):
            return [self._compiled(value, f"{place}[{index}]", depth + 1) for index, value in enumerate(node)]
        return self._text(node, place) if isinstance(node, str) else node

    def _key(self, name: str, place: str) -> str:
        if _is_template(name):
            raise _at(place, f"the key {name!r} is not filled in, only texts are")
        return name

    def _text(self, text: str, place: str) -> Any:
        if not _is_template(text):
            return text
        try:
            template = Template(text, self._insert)
        except TemplateError as error:
            raise _at(place, str(error)) from error
        for variable, fields in template.reads.items():
            if variable not in VARIABLES:
                raise _at(place, f"nothing is called {variable!r} here; there are: {', '.join(VARIABLES)}")
            _check_settings(variable, fields, place)
            known = self.reads.setdefault(variable, set())
            self.reads[variable] = None if known is None or fields is None else known | set(fields)
        whole = _WHOLE.fullmatch(text.strip()) if self._insert is None else None
        if whole is None:
            return template
        path = (whole[1], *filter(None, whole[2].split(".")))
        if len(path) == 1:
            self.reads[path[0]] = None
        return _Value(path, template)


def path_form(template: str) -> Form:
    """The form of what follows base_url: each value that it inserts is encoded for a path or a query."""
    return Form(template, "path", _quoted)


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


class _Value:
    """One variable, or what is within it."""

    def __init__(self, path: tuple[str, ...], template: Template) -> None:
        self._path = path
        self._template = template

    def of(self, context: Mapping[str, Any], of: str) -> Any:
        value: Any = context
        for name in self._path:
            if not isinstance(value, Mapping) or name not in value:
                return self._template.render(context, of)  # which says in words what is not there
            value = value[name]
        return _LEFT_OUT if value is None else value


def _filled(node: Any, context: Mapping[str, Any], of: str) -> Any:
    match node:
        case dict():
            filled = {name: _filled(value, context, of) for name, value in node.items()}
            return {name: value for name, value in filled.items() if value is not _LEFT_OUT}
        case list():
            return [value for each in node if (value := _filled(each, context, of)) is not _LEFT_OUT]
        case _Value():
            return node.of(context, of)
        case Template():
            return node.render(context, of)
    return node


def _at(place: str, what: str) -> ValueError:
    return ValueError(f"{place}: {what}" if place else what)


def _check_settings(variable: str, fields: frozenset[str] | None, place: str) -> None:
    if variable == "params" and (unknown := sorted((fields or frozenset()) - _NO_SETTINGS.keys())):
        raise _at(place, f"there is no setting {unknown[0]!r}; there are: {', '.join(_NO_SETTINGS)}")


def context_of(request: Request, params_as_given: bool) -> dict[str, Any]:
    """The variables of a request. Settings that are not set are none, or not there if all of them are read as one."""
    given = {name: value for name, value in request.params.items() if name != "extras"}
    if request.seed is not None:  # of this sample
        given["seed"] = request.seed
    return {
        "item": request.item,
        "messages": request.messages,
        "model": request.model_id,
        "params": given if params_as_given else _NO_SETTINGS | given,
        "prompt": "\n\n".join(filter(None, map(_text_of, request.messages))),
        "seed": given.get("seed"),
    }


def _quoted(value: Any) -> str:
    """A value as it can stand in a path or a query: nothing for none, JSON for what is no text. Raises ValueError."""
    if value is None:
        return ""
    return quote(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), safe="")


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(_texts(content))


def _texts(parts: Any) -> Iterator[str]:
    yield from (part["text"] for part in parts or () if isinstance(part, dict) and part.get("type") == "text")
