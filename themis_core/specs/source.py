"""Reads a spec file into plain data, and remembers the line of every key and list element.

It knows YAML, TOML and JSON, but no spec class: the models that validate the data decide what it means. All
three give the same plain data, so that equal specs have equal digests: text, finite numbers, booleans, null,
lists, and mappings with text keys; dates are text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from themis_core.errors import SpecError
from themis_core.specs.plain import TOO_DEEP, Loc, SpecProblem, nearest_line
from themis_core.specs.toml_and_json import parse_json, parse_toml
from themis_core.specs.yaml_nodes import parse_yaml, plain_scalar

Kind = Literal["yaml", "toml", "json"]

KINDS: Mapping[str, Kind] = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}
STANDARD_INPUT = "-"
_STDIN = "standard input"
_MAPPING = "a spec is a mapping, with keys such as 'benchmark' at the top"


@dataclass(frozen=True, slots=True)
class Source:
    """`path` is as the user gave it; `lines` are 1-based, of a mapping's keys and of a list's elements."""

    path: str
    data: Any
    lines: Mapping[Loc, int]
    overrides: Mapping[Loc, str] = field(default_factory=dict)
    """Places whose values are not the file's, with how the user writes that, such as `--set num_samples`."""

    def override(self, loc: Sequence[str | int]) -> str | None:
        """Return what overrode `loc`, or made it in the first place; None if what is wrong there is the file's."""
        steps = tuple(map(str, loc))
        for place, told in reversed(list(self.overrides.items())):
            inside = steps[: len(place)] == place
            made = place[: len(steps)] == steps and bool(loc) and tuple(loc) not in self.lines
            if inside or made:
                return told
        return None

    def line(self, loc: Sequence[str | int]) -> int | None:
        """Return the line of `loc`, or of the nearest thing around it that has one."""
        return nearest_line(self.lines, tuple(loc))


def read_source(path: Path | str) -> Source:
    """Read a spec file; the suffix says the format. `-` is standard input, YAML or JSON. Raises `SpecError`."""
    file, shown = Path(path), str(path)
    if shown == STANDARD_INPUT:
        return parse_source(_decoded(sys.stdin.buffer.read(), _STDIN), "yaml", _STDIN)
    try:
        raw = file.read_bytes()
    except FileNotFoundError as exc:
        raise SpecError(f"no such file{_did_you_mean(file)}", path=shown) from exc
    except IsADirectoryError as exc:
        raise SpecError("is a folder: name the spec file in it", path=shown) from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        reason = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise SpecError(f"cannot be read: {reason}", path=shown if len(shown) < 200 else f"{shown[:160]}…") from exc
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        what = f"the suffix {file.suffix!r}" if file.suffix else "a name without a suffix"
        raise SpecError(f"{what} does not say the format: use {', '.join(KINDS)}", path=shown)
    return parse_source(_decoded(raw, shown), kind, shown)


def _decoded(raw: bytes, shown: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        # utf-8-sig counts from behind the byte order mark
        offset = exc.start + len(raw) - len(exc.object)
        message = f"not UTF-8 (byte 0x{exc.object[exc.start]:02x} at offset {offset}): save the file as UTF-8"
        raise SpecError(message, path=shown, line=line) from exc


def parse_source(text: str, kind: Kind, path: str) -> Source:
    """Parse the text of a spec file; `path` is for messages. Raises `SpecError`."""
    text = text.removeprefix("\ufeff")
    lines: dict[Loc, int] = {}
    parse = {"yaml": parse_yaml, "toml": parse_toml, "json": parse_json}[kind]
    try:
        data = parse(text, lines) if text.strip() else None
        if data is None:
            raise SpecProblem(f"the file is empty: {_MAPPING}")
        if not isinstance(data, dict):
            raise SpecProblem(f"the top level is a {_kind_of(data)}: {_MAPPING}", 1)
    except SpecProblem as problem:
        raise SpecError(problem.message, path=path, line=problem.line) from problem.__cause__
    except RecursionError as exc:
        raise SpecError(TOO_DEEP, path=path) from exc
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
    steps = steps_of(dotted_path)
    try:
        value = _parse_value(text)
    except (SpecProblem, RecursionError) as exc:
        raise ValueError(f"{dotted_path}: cannot read the value {text!r}: {exc}") from exc
    return _put(data, steps, 0, value)


def steps_of(dotted_path: str) -> list[str | int]:
    """Split a path such as `a.b[0]` into its steps. Raises `ValueError`."""
    if not _PATH.fullmatch(dotted_path):
        raise ValueError(f"{dotted_path!r} is not a path such as benchmark.slices[0].dataset_query.count")
    found = re.findall(f"{_KEY}|{_INDEX}", dotted_path)
    return [int(step[1:-1]) if step[0] == "[" else step.strip('"') for step in found]


def _parse_value(text: str) -> Any:
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'") and not text.startswith("{{"):
        return parse_yaml(text, {})
    return plain_scalar(text, None)


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
