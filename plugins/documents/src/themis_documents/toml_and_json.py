"""Reads TOML and JSON by the standard library, and finds the line of every key and list element afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from themis_documents.plain import MAX_DEPTH, TOO_DEEP, TOO_LONG, DocumentError, Loc, finite, nearest_line, there_twice

__all__ = ["Positions", "parse_json", "parse_toml"]


def parse_toml(text: str, lines: dict[Loc, int]) -> Any:
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        line, what = _line_of(exc, text), str(exc).partition(" (at ")[0]
        written = dict(enumerate(text.splitlines(), 1)).get(line, "")
        bare = re.search(r"[=\[,]\s*(?!(?:true|false|inf|nan)\b)[^\W\d]", written)
        hint = ": text needs quotes, booleans are true and false" if bare and not _is_of_keys(what) else ""
        raise DocumentError(what + hint, line) from exc
    except ValueError as exc:
        raise DocumentError(TOO_LONG) from exc
    Positions(text, lines, lambda token: tomllib.loads(f"key = {token}")["key"]).scan(toml=True)
    return _plain_data(data, (), lines) or None


def _is_of_keys(what: str) -> bool:
    """Whether a mistake is that of a key or table that is there twice, beside which a bare word is no mistake."""
    return what.startswith(("Cannot ", "Duplicate "))


def _line_of(error: ValueError, text: str) -> int:
    """The line of a mistake in TOML. As a number from Python 3.14 on, in words before; the end if it says none."""
    if (line := getattr(error, "lineno", None)) is not None:
        return int(line)
    found = re.search(r"line (\d+)", str(error))
    return int(found[1]) if found else text.rstrip().count("\n") + 1


def parse_json(text: str, lines: dict[Loc, int]) -> Any:
    import json

    twice: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) < len(pairs):
            twice.extend(key for key in data if [name for name, _ in pairs].count(key) > 1)
        return data

    try:
        data = json.loads(text, object_pairs_hook=members)
    except json.JSONDecodeError as exc:
        raise DocumentError(f"{exc.msg} (column {exc.colno})", exc.lineno) from exc
    except ValueError as exc:
        raise DocumentError(TOO_LONG) from exc
    positions = Positions(text, lines, json.loads)
    positions.scan(toml=False)
    if twice:
        for loc, line in positions.again.items():
            raise there_twice(loc[-1], lines[loc], line)
        raise DocumentError(f"the key {twice[0]!r} is there twice in one object")
    return _plain_data(data, (), lines)


def _plain_data(value: Any, loc: Loc, lines: Mapping[Loc, int]) -> Any:
    if len(loc) >= MAX_DEPTH and isinstance(value, dict | list):
        raise DocumentError(TOO_DEEP, nearest_line(lines, loc))
    if isinstance(value, dict):
        return {key: _plain_data(member, (*loc, key), lines) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain_data(element, (*loc, index), lines) for index, element in enumerate(value)]
    if isinstance(value, float):
        return finite(value, str(value), nearest_line(lines, loc))
    return value if value is None or isinstance(value, str | int) else value.isoformat()


_TOKEN = re.compile(
    r"""
    (?s:\"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5})  # two quotes of the text may touch the closing three
    | "(?:\\.|[^"\\\n])*" | '[^'\n]*'
    | [\[\]{}=,:.\n]
    | \#[^\n]*
    | [^\s\[\]{}=,:."'\#]+
    """,
    re.VERBOSE,
)


class Positions:
    """Finds the lines of keys and elements in a text that is known to be valid TOML or JSON.

    The parsers of the standard library tell no positions, so this walks the same text once more, looking at
    keys and brackets only.
    """

    def __init__(self, text: str, lines: dict[Loc, int], unquote: Callable[[str], Any]) -> None:
        self.lines = lines
        self.unquote = unquote
        self.again: dict[Loc, int] = {}
        self.tables: dict[Loc, int] = {}  # the index of the last table in each `[[array]]`
        self.tokens: list[tuple[str, int]] = []
        self.at = 0
        line, end = 1, 0
        for match in _TOKEN.finditer(text):
            line, end = line + text.count("\n", end, match.start()), match.start()
            if match[0][0] != "#":
                self.tokens.append((match[0], line))

    def scan(self, toml: bool) -> None:
        # A line is a courtesy: whatever is wrong in here, the valid data must still arrive.
        try:
            self._document() if toml else self._value(())
        except Exception:  # noqa: BLE001
            return

    def _document(self) -> None:
        table: Loc = ()
        while token := self._next():
            if token == "[":
                table = self._header()
            else:
                self._member(table)

    def _header(self) -> Loc:
        _, line = self._take()
        array = self._peek() == "["
        self.at += array
        loc = self._key(())
        self.at += array
        if array:
            self.tables[loc] = self.tables.get(loc, -1) + 1
            loc = (*loc, self.tables[loc])
            self.lines[loc] = line
        return loc

    def _member(self, loc: Loc) -> None:
        self._value(self._key(loc))

    def _key(self, loc: Loc) -> Loc:
        """Take a dotted key and the `=`, `:` or `]` behind it."""
        while True:
            token, line = self._take()
            loc = (*loc, self.unquote(token) if token[0] in "\"'" else token)
            if loc not in self.lines:
                self.lines[loc] = line
            else:
                self.again.setdefault(loc, line)
            self._next()
            if self._take()[0] != ".":
                return loc
            if loc in self.tables:
                loc = (*loc, self.tables[loc])

    def _value(self, loc: Loc) -> None:
        opening = self._next()
        if opening not in ("{", "["):
            while self._peek() not in (",", "]", "}", "\n", ""):
                self.at += 1
            return
        self.at += 1
        index = 0
        while self._next() not in ("]", "}"):
            if opening == "{":
                self._member(loc)
            else:
                self.lines[*loc, index] = self.tokens[self.at][1]
                self._value((*loc, index))
            index += 1
            if self._next() == ",":
                self.at += 1
        self.at += 1

    def _take(self) -> tuple[str, int]:
        self.at += 1
        return self.tokens[self.at - 1]

    def _peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def _next(self) -> str:
        """Go to the next token that is no line break."""
        while self._peek() == "\n":
            self.at += 1
        return self._peek()
