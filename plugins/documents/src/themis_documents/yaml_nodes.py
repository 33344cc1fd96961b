"""Reads YAML, and remembers the line of every key and list element. Only what all formats have is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from themis_documents.plain import (
    MAX_DEPTH,
    NOT_FINITE,
    TOO_DEEP,
    TOO_LONG,
    DocumentError,
    Loc,
    WrittenFloat,
    WrittenInt,
    finite,
    there_twice,
)

__all__ = ["parse_yaml", "plain_scalar"]

MAX_NODES = 100_000

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF_OR_NAN = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_PLAIN, _TEXT, _CORE = "plain", "text", "tag:yaml.org,2002:"
_TAGGED_TYPES = {"null": type(None), "bool": bool, "int": int, "float": float}

# The character that the parser stumbles over, and what people had usually written. Its words say less, and differ
# between versions and between the parsers in C and in Python.
_HINTS = {
    **dict.fromkeys("@`%\t", "quote text that starts with @, ` or %, and indent with spaces, not tabs"),
    ":": "quote text that contains ': ', and check the indentation",
    "\\": "in double quotes a backslash starts an escape: use single quotes",
}
_HINT = "check indentation, brackets and quotes; quote text that starts with one of { [ * & !"


def plain_scalar(text: str, line: int | None) -> Any:
    """Resolve an unquoted scalar by the core schema of YAML 1.2, where `no` and `2024-01-01` are text."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        try:
            number: Any = WrittenInt(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except ValueError as exc:
            raise DocumentError(TOO_LONG, line) from exc
        number.written = text
        return number
    if _INF_OR_NAN.fullmatch(text):
        raise DocumentError(f"{text} {NOT_FINITE}", line)
    if not _FLOAT.fullmatch(text):
        return text
    number = WrittenFloat(finite(float(text), text, line))
    number.written = text
    return number


def parse_yaml(text: str, lines: dict[Loc, int]) -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        # Nodes keep the tag they resolve to, not whether it was written, so YAML 1.1 must have no say here.
        def resolve(self, kind: type, value: Any, implicit: Any) -> str:
            return (_PLAIN if implicit[0] else _TEXT) if kind is yaml.ScalarNode else ""

    try:
        _check_events(yaml.parse(text, Loader=Loader))
        node = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        if mark and _open_brackets(text[: mark.index + 1]) > MAX_DEPTH:  # newer libraries have a bound of their own
            raise DocumentError(TOO_DEEP, mark.line + 1) from exc
        since = f" {exc.context}" if exc.context else ""
        if since and exc.context_mark and mark and exc.context_mark.line != mark.line:
            since += f" that starts in line {exc.context_mark.line + 1}"
        hint = _hint(text, mark.index, inside=exc.context is not None) if mark else _HINT
        raise DocumentError(f"{exc.problem}{since}: {hint}", mark.line + 1 if mark else None) from exc
    except (yaml.YAMLError, UnicodeEncodeError) as exc:
        bad = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
        if bad is None:
            raise DocumentError(str(exc)) from exc
        message = f"YAML does not allow the character U+{ord(bad[0]):04X}: escape it, in double quotes"
        raise DocumentError(message, text.count("\n", 0, bad.start()) + 1) from exc
    return None if node is None else _Nodes(lines).build(node, ())


def _hint(text: str, at: int, inside: bool) -> str:
    """What to do; `inside` something that was begun, a colon means that it was not ended."""
    here, before = text[at : at + 1], text[max(at - 1, 0) : at]
    return _HINT if inside and here == ":" else _HINTS["\\"] if before == "\\" else _HINTS.get(here, _HINT)


def _open_brackets(text: str) -> int:
    return sum(text.count(each) for each in "[{") - sum(text.count(each) for each in "]}")


def _check_events(events: Iterable[Any]) -> None:
    # Before composing, which recurses in C, where too deep a nesting ends the process.
    import yaml

    depth = documents = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > MAX_DEPTH:
            raise DocumentError(TOO_DEEP, event.start_mark.line + 1)
        if documents > 1:
            message = "a second document starts here: remove the '---', or split the file"
            raise DocumentError(message, event.start_mark.line + 1)


class _Nodes:
    """Builds plain data from YAML nodes; `lines` is filled on the way."""

    def __init__(self, lines: dict[Loc, int]) -> None:
        self.lines = lines
        self.count = 0
        self.open: set[int] = set()

    def build(self, node: Any, loc: Loc) -> Any:
        with self._opened(node, len(loc)):
            if node.id == "scalar":
                return self._scalar(node)
            if node.tag not in ("", _CORE + ("map" if node.id == "mapping" else "seq")):
                raise self._refused(node)
            data: Any
            if node.id == "sequence":
                data = []
                for index, element in enumerate(node.value):
                    self.lines[*loc, index] = _line(element)
                    data.append(self.build(element, (*loc, index)))
                return data
            data = {}
            for key, (key_node, value_node) in self._pairs(node).items():
                self.lines[*loc, key] = _line(key_node)
                data[key] = self.build(value_node, (*loc, key))
            return data

    @contextmanager
    def _opened(self, node: Any, depth: int) -> Iterator[None]:
        # Aliases make the nodes a graph: with cycles, and with exponentially many paths ("billion laughs").
        self.count += 1
        if self.count > MAX_NODES:
            message = f"more than {MAX_NODES:,} values, aliases expanded: keep data in a dataset file"
            raise DocumentError(message, _line(node))
        if id(node) in self.open:
            raise DocumentError("this anchor contains an alias of itself", _line(node))
        if depth >= MAX_DEPTH and node.id != "scalar":
            raise DocumentError(TOO_DEEP, _line(node))
        self.open.add(id(node))
        yield
        self.open.discard(id(node))

    def _pairs(self, node: Any) -> dict[str, tuple[Any, Any]]:
        """Return pairs of nodes by key: a mapping's own win over merged ones, earlier merges over later."""
        own: dict[str, tuple[Any, Any]] = {}
        merged: dict[str, tuple[Any, Any]] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in own:
                raise there_twice(key, _line(own[key][0]), _line(key_node))
            own[key] = (key_node, value_node)
        if "<<" in own and own["<<"][0].tag == _PLAIN:
            key_node, value = own.pop("<<")
            for source in value.value if value.id == "sequence" else [value]:
                if source.id != "mapping":
                    raise DocumentError("'<<' merges a mapping or a list of mappings", _line(key_node))
                with self._opened(source, 0):
                    pairs = self._pairs(source)
                self.count += len(pairs)
                merged = {**pairs, **merged}
        return {**merged, **own}

    def _key(self, node: Any) -> str:
        if node.id != "scalar":
            raise DocumentError(f"a {node.id} is no key: quote text that starts with '{{' or '['", _line(node))
        if node.tag != _PLAIN:
            self._scalar(node)  # refuses tags
        return str(node.value)

    def _scalar(self, node: Any) -> Any:
        if node.tag in (_TEXT, _CORE + "str"):
            return node.value
        wanted = _TAGGED_TYPES.get(node.tag.removeprefix(_CORE))
        if wanted is None and node.tag != _PLAIN:
            raise self._refused(node)
        value = plain_scalar(node.value, _line(node))
        if wanted is float and _FLOAT.fullmatch(node.value):
            return finite(float(node.value), node.value, _line(node))
        if wanted is None:
            return value
        if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
            raise DocumentError(f"{node.value!r} is no {node.tag.removeprefix(_CORE)}", _line(node))
        return int(value) if isinstance(value, WrittenInt) else value  # the tag says that a number is meant

    def _refused(self, node: Any) -> DocumentError:
        tag = node.tag.replace(_CORE, "!!", 1)
        return DocumentError(f"the tag {tag} is not allowed here: quote text that starts with '!'", _line(node))


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
