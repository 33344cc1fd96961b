"""Reads a spec file into plain data, and remembers the line of every key and list element.

It knows YAML, TOML and JSON, but no spec class: the models that validate the data decide what it means. All
three give the same plain data, so that equal specs have equal digests: text, finite numbers, booleans, null,
lists, and mappings with text keys; dates are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from themis_core.errors import SpecError

Kind = Literal["yaml", "toml", "json"]
Loc = tuple[str | int, ...]

KINDS: Mapping[str, Kind] = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}
MAX_DEPTH = 200
MAX_NODES = 100_000

_NOT_FINITE = "is not a finite number, and a digest needs one: write null, or leave the field out"
_TOO_LONG = "a number has too many digits"
_MAPPING = "a spec is a mapping, with keys such as 'benchmark' at the top"
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"


@dataclass(frozen=True, slots=True)
class Source:
    """`path` is as the user gave it; `lines` are 1-based, of a mapping's keys and of a list's elements."""

    path: str
    data: Any
    lines: Mapping[Loc, int]

    def line(self, loc: Sequence[str | int]) -> int | None:
        """Return the line of `loc`, or of the nearest thing around it that has one."""
        return _nearest(self.lines, tuple(loc))


def _nearest(lines: Mapping[Loc, int], loc: Loc) -> int | None:
    prefixes = (loc[:length] for length in range(len(loc), 0, -1))
    return next((lines[prefix] for prefix in prefixes if prefix in lines), None)


class _Problem(Exception):
    """What is wrong and in which line, before it is known which file or option it is about."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def read_source(path: Path | str) -> Source:
    """Read a spec file; the suffix says the format. Raises `SpecError`."""
    file, shown = Path(path), str(path)
    try:
        raw = file.read_bytes()
    except FileNotFoundError as exc:
        raise SpecError(f"no such file{_did_you_mean(file)}", path=shown) from exc
    except IsADirectoryError as exc:
        raise SpecError("is a folder: name the spec file in it", path=shown) from exc
    except OSError as exc:
        raise SpecError(f"cannot be read: {exc.strerror or exc}", path=shown) from exc
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        what = f"the suffix {file.suffix!r}" if file.suffix else "a name without a suffix"
        raise SpecError(f"{what} does not say the format: use {', '.join(KINDS)}", path=shown)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        # utf-8-sig counts from behind the byte order mark
        offset = exc.start + len(raw) - len(exc.object)
        message = f"not UTF-8 (byte 0x{exc.object[exc.start]:02x} at offset {offset}): save the file as UTF-8"
        raise SpecError(message, path=shown, line=line) from exc
    return parse_source(text, kind, shown)


def parse_source(text: str, kind: Kind, path: str) -> Source:
    """Parse the text of a spec file; `path` is for messages. Raises `SpecError`."""
    text = text.removeprefix("\ufeff")
    lines: dict[Loc, int] = {}
    parse = {"yaml": _parse_yaml, "toml": _parse_toml, "json": _parse_json}[kind]
    try:
        data = parse(text, lines) if text.strip() else None
        if data is None:
            raise _Problem(f"the file is empty: {_MAPPING}")
        if not isinstance(data, dict):
            raise _Problem(f"the top level is a {_kind_of(data)}: {_MAPPING}", 1)
    except _Problem as problem:
        raise SpecError(problem.message, path=path, line=problem.line) from problem.__cause__
    except RecursionError as exc:
        raise SpecError(_TOO_DEEP, path=path) from exc
    return Source(path=path, data=data, lines=lines)


def close_match(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    import difflib

    words = list(known)
    for close in difflib.get_close_matches(word, words, n=1):
        return close
    folded = {word.casefold(): word for word in words}
    close_folded = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[close_folded[0]] if close_folded else None


def _did_you_mean(file: Path) -> str:
    try:
        names = [other.name for other in file.parent.iterdir() if other.suffix.lower() in KINDS]
    except OSError:
        return ""
    found = close_match(file.name, names)
    return f": did you mean {file.with_name(found)}?" if found else ""


# --- overrides ----------------------------------------------------------------------------------------------

_KEY, _INDEX = r"""(?:"[^"]*"|[^.\[\]"]+)""", r"\[\d+\]"
_PATH = re.compile(rf"{_KEY}(?:\.{_KEY}|{_INDEX})*")


def set_value(data: Any, dotted_path: str, text: str) -> Any:
    """Return a copy of `data` with the value that `text` says at `dotted_path`.

    A path is `a.b[0].c` or `a.b.0.c`, with keys that contain a dot in double quotes. The value is a YAML scalar,
    quoted text, or a flow list or mapping; anything else, such as `{{ item.question }}` or `a: b`, is text.
    Mapping keys that are missing are made, list elements are not. Raises `ValueError`.
    """
    if not _PATH.fullmatch(dotted_path):
        raise ValueError(f"{dotted_path!r} is not a path such as benchmark.slices[0].dataset_query.count")
    found = re.findall(f"{_KEY}|{_INDEX}", dotted_path)
    steps = [int(step[1:-1]) if step[0] == "[" else step.strip('"') for step in found]
    try:
        value = _parse_value(text)
    except (_Problem, RecursionError) as exc:
        raise ValueError(f"{dotted_path}: cannot read the value {text!r}: {exc}") from exc
    return _put(data, steps, 0, value)


def _parse_value(text: str) -> Any:
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'") and not text.startswith("{{"):
        return _parse_yaml(text, {})
    return _plain_scalar(text, None)


def _put(data: Any, steps: Sequence[str | int], done: int, value: Any) -> Any:
    if done == len(steps):
        return value
    step, here = steps[done], _dotted(steps[:done]) or "the top level"
    if isinstance(data, list):
        index = int(step) if str(step).isdecimal() else -1
        if not 0 <= index < len(data):
            known = f"0 to {len(data) - 1}" if data else "none, it is empty"
            raise ValueError(f"{here} is a list without an element {step!r} (there are: {known})")
        return [*data[:index], _put(data[index], steps, done + 1, value), *data[index + 1 :]]
    if isinstance(step, int):
        what = "is not set" if data is None else f"is a {_kind_of(data)}"
        raise ValueError(f"{here} {what}, not a list, so it has no element {step}")
    # An empty value, such as `generation:` in YAML, is filled like a missing one.
    if data is not None and not isinstance(data, dict):
        raise ValueError(f"{here} is {data!r}, not a mapping, so {step!r} cannot be set in it")
    old = data or {}
    return {**old, step: _put(old.get(step), steps, done + 1, value)}


def _kind_of(data: Any) -> str:
    return "mapping" if isinstance(data, dict) else "list" if isinstance(data, list) else "single value"


def _dotted(loc: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).removeprefix(".")


# --- YAML ---------------------------------------------------------------------------------------------------

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF_OR_NAN = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_PLAIN, _TEXT, _CORE = "plain", "text", "tag:yaml.org,2002:"
_TAGGED_TYPES = {"null": type(None), "bool": bool, "int": int, "float": float}

# What the parser complains about, and what people had usually written.
_YAML_HINTS = {
    "cannot start any token": "quote text that starts with @, ` or %, and indent with spaces, not tabs",
    "mapping values are not allowed": "quote text that contains ': ', and check the indentation",
    "unknown escape character": "in double quotes a backslash starts an escape: use single quotes",
    "did not find expected": "check indentation, brackets and quotes; quote text that starts with one of { [ * & !",
}


def _plain_scalar(text: str, line: int | None) -> Any:
    """Resolve an unquoted scalar by the core schema of YAML 1.2, where `no` and `2024-01-01` are text."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        try:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except ValueError as exc:
            raise _Problem(_TOO_LONG, line) from exc
    if _INF_OR_NAN.fullmatch(text):
        raise _Problem(f"{text} {_NOT_FINITE}", line)
    return _finite(float(text), text, line) if _FLOAT.fullmatch(text) else text


def _finite(value: float, text: str, line: int | None) -> float:
    if not isfinite(value):
        raise _Problem(f"{text if len(text) < 30 else text[:20] + '…'} {_NOT_FINITE}", line)
    return value


def _parse_yaml(text: str, lines: dict[Loc, int]) -> Any:
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
        since = f" {exc.context}" if exc.context else ""
        if since and exc.context_mark and mark and exc.context_mark.line != mark.line:
            since += f" that starts in line {exc.context_mark.line + 1}"
        hint = next((f": {hint}" for part, hint in _YAML_HINTS.items() if part in str(exc.problem)), "")
        raise _Problem(f"{exc.problem}{since}{hint}", mark.line + 1 if mark else None) from exc
    except (yaml.YAMLError, UnicodeEncodeError) as exc:
        bad = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
        if bad is None:
            raise _Problem(str(exc)) from exc
        message = f"YAML does not allow the character U+{ord(bad[0]):04X}: escape it, in double quotes"
        raise _Problem(message, text.count("\n", 0, bad.start()) + 1) from exc
    return None if node is None else _Nodes(lines).build(node, ())


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
            raise _Problem(_TOO_DEEP, event.start_mark.line + 1)
        if documents > 1:
            message = "a second document starts here: remove the '---', or split the file"
            raise _Problem(message, event.start_mark.line + 1)


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
            raise _Problem(message, _line(node))
        if id(node) in self.open:
            raise _Problem("this anchor contains an alias of itself", _line(node))
        if depth >= MAX_DEPTH and node.id != "scalar":
            raise _Problem(_TOO_DEEP, _line(node))
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
                raise _there_twice(key, _line(own[key][0]), _line(key_node))
            own[key] = (key_node, value_node)
        if "<<" in own and own["<<"][0].tag == _PLAIN:
            key_node, value = own.pop("<<")
            for source in value.value if value.id == "sequence" else [value]:
                if source.id != "mapping":
                    raise _Problem("'<<' merges a mapping or a list of mappings", _line(key_node))
                with self._opened(source, 0):
                    pairs = self._pairs(source)
                self.count += len(pairs)
                merged = {**pairs, **merged}
        return {**merged, **own}

    def _key(self, node: Any) -> str:
        if node.id != "scalar":
            raise _Problem(f"a {node.id} is no key: quote text that starts with '{{' or '['", _line(node))
        if node.tag != _PLAIN:
            self._scalar(node)  # refuses tags
        return str(node.value)

    def _scalar(self, node: Any) -> Any:
        if node.tag in (_TEXT, _CORE + "str"):
            return node.value
        wanted = _TAGGED_TYPES.get(node.tag.removeprefix(_CORE))
        if wanted is None and node.tag != _PLAIN:
            raise self._refused(node)
        value = _plain_scalar(node.value, _line(node))
        if wanted is float and _FLOAT.fullmatch(node.value):
            return _finite(float(node.value), node.value, _line(node))
        if wanted is not None and type(value) is not wanted:
            raise _Problem(f"{node.value!r} is no {node.tag.removeprefix(_CORE)}", _line(node))
        return value

    def _refused(self, node: Any) -> _Problem:
        tag = node.tag.replace(_CORE, "!!", 1)
        return _Problem(f"the tag {tag} is not allowed here: quote text that starts with '!'", _line(node))


def _there_twice(key: str | int, first: int, second: int) -> _Problem:
    return _Problem(f"the key {key!r} is there twice, in lines {first} and {second}", second)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


# --- TOML and JSON ------------------------------------------------------------------------------------------


def _parse_toml(text: str, lines: dict[Loc, int]) -> Any:
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        message, _, place = str(exc).partition(" (at ")
        at = re.match(r"line (\d+)", place)
        hint = ": text needs quotes, booleans are true and false" if message == "Invalid value" else ""
        raise _Problem(message + hint, int(at[1]) if at else text.rstrip().count("\n") + 1) from exc
    except ValueError as exc:
        raise _Problem(_TOO_LONG) from exc
    _Positions(text, lines, lambda token: tomllib.loads(f"key = {token}")["key"]).scan(toml=True)
    return _plain_data(data, (), lines) or None


def _parse_json(text: str, lines: dict[Loc, int]) -> Any:
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
        raise _Problem(f"{exc.msg} (column {exc.colno})", exc.lineno) from exc
    except ValueError as exc:
        raise _Problem(_TOO_LONG) from exc
    positions = _Positions(text, lines, json.loads)
    positions.scan(toml=False)
    if twice:
        for loc, line in positions.again.items():
            raise _there_twice(loc[-1], lines[loc], line)
        raise _Problem(f"the key {twice[0]!r} is there twice in one object")
    return _plain_data(data, (), lines)


def _plain_data(value: Any, loc: Loc, lines: Mapping[Loc, int]) -> Any:
    if len(loc) >= MAX_DEPTH and isinstance(value, dict | list):
        raise _Problem(_TOO_DEEP, _nearest(lines, loc))
    if isinstance(value, dict):
        return {key: _plain_data(member, (*loc, key), lines) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain_data(element, (*loc, index), lines) for index, element in enumerate(value)]
    if isinstance(value, float):
        return _finite(value, str(value), _nearest(lines, loc))
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


class _Positions:
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
