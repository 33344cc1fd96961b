"""Reads a file or a text into plain values, and remembers the line of every key and list element.

It decides nothing about what they mean. All three formats give the same plain values: text, finite numbers, booleans,
null, lists, and mappings with text keys; dates are text.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from themis_documents.plain import TOO_DEEP, DocumentError, Loc, nearest_line
from themis_documents.toml_and_json import parse_json, parse_toml
from themis_documents.yaml_nodes import parse_yaml

__all__ = ["KINDS", "Kind", "Source", "parse_source", "read_source"]

Kind = Literal["yaml", "toml", "json"]

KINDS: Mapping[str, Kind] = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}
STANDARD_INPUT = "-"
_STDIN = "standard input"


@dataclass(frozen=True, slots=True)
class Source:
    """A document that was read: its plain `data`, and where each part of it stands.

    `path` is as the user gave it; `lines` are 1-based, of a mapping's keys and of a list's elements.
    """

    path: str
    data: Any
    """None if the document is empty."""
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
    """Read a file; the suffix says the format. `-` is standard input, YAML or JSON. Raises DocumentError."""
    file, shown = Path(path), str(path)
    if shown == STANDARD_INPUT:
        return parse_source(_decoded(sys.stdin.buffer.read(), _STDIN), "yaml", _STDIN)
    try:
        raw = file.read_bytes()
    except FileNotFoundError as exc:
        raise DocumentError(f"no such file{_did_you_mean(file)}", path=shown) from exc
    except IsADirectoryError as exc:
        raise DocumentError("is a folder: name the file in it", path=shown) from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        reason = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise DocumentError(f"cannot be read: {reason}", path=shown if len(shown) < 200 else f"{shown[:160]}…") from exc
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        what = f"the suffix {file.suffix!r}" if file.suffix else "a name without a suffix"
        raise DocumentError(f"{what} does not say the format: use {', '.join(KINDS)}", path=shown)
    return parse_source(_decoded(raw, shown), kind, shown)


def _decoded(raw: bytes, shown: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        # utf-8-sig counts from behind the byte order mark
        offset = exc.start + len(raw) - len(exc.object)
        message = f"not UTF-8 (byte 0x{exc.object[exc.start]:02x} at offset {offset}): save the file as UTF-8"
        raise DocumentError(message, path=shown, line=line) from exc


def parse_source(text: str, kind: Kind, path: str) -> Source:
    """Parse a text; `path` is for messages. Raises DocumentError."""
    text = text.removeprefix("\ufeff")
    lines: dict[Loc, int] = {}
    parse = {"yaml": parse_yaml, "toml": parse_toml, "json": parse_json}[kind]
    try:
        data = parse(text, lines) if text.strip() else None
    except DocumentError as problem:
        problem.path = path
        raise
    except RecursionError as exc:
        raise DocumentError(TOO_DEEP, path=path) from exc
    return Source(path=path, data=data, lines=lines)


def _did_you_mean(file: Path) -> str:
    try:
        names = [other.name for other in file.parent.iterdir() if other.suffix.lower() in KINDS]
    except OSError:
        return ""
    found = difflib.get_close_matches(file.name, names, n=1)
    return f": did you mean {file.with_name(found[0])}?" if found else ""
