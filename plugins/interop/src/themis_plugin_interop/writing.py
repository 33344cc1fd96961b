"""Names and files as other tools want them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from themis_core import SpecError, digest
from themis_plugin_interop.trials import Group

__all__ = [
    "Names",
    "TaskNames",
    "as_json",
    "names_of",
    "plain_name",
    "safe_name",
    "sha256_of",
    "uuid_of",
    "write_json",
    "write_line",
]


def as_json(value: Any) -> str:
    """One line of JSON; lone surrogates stay, as escapes, and there is no NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def write_line(file: IO[str], value: Any) -> None:
    file.write(as_json(value) + "\n")


def safe_name(text: str) -> str:
    """A name that every file system takes: letters, digits, `.`, `-` and `_`, at most 100, no dot first."""
    short = re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).lstrip(".")[:100]
    return short if short == text != "" else f"{short or 'x'}-{digest(text)[:8]}"


def plain_name(name: str, text: str) -> str:
    """The name that another tool would make of a text, if a file can have it; else the text's `safe_name`."""
    is_plain = name.isprintable() and name.strip(" ") and name[:1] != "." and len(name.encode()) <= 200
    return name if is_plain else safe_name(text)


class Names:
    """Names of files in one place: each for one thing, and none that differ by small and capital letters alone."""

    def __init__(self) -> None:
        self._things: dict[str, tuple[str, ...]] = {}

    def take(self, name: str, *thing: str) -> str:
        """The name of a thing, with a digest of the thing if another has the name. Raises SpecError if both do."""
        if self._things.setdefault(name.casefold(), thing) == thing:
            return name
        longer = f"{name}-{digest(list(thing))[:16]}"
        if self._things.setdefault(longer.casefold(), thing) != thing:
            raise SpecError(f"{thing!r} and {self._things[longer.casefold()]!r} would both be written to {longer!r}")
        return longer


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def uuid_of(*parts: str) -> str:
    """A UUID in the form of version 4 that depends on the parts alone, so a second export gives the same."""
    hexadecimal = digest(list(parts))
    variant = "89ab"[int(hexadecimal[16], 16) % 4]
    return "-".join(
        (
            hexadecimal[:8],
            hexadecimal[8:12],
            f"4{hexadecimal[13:16]}",
            f"{variant}{hexadecimal[17:20]}",
            hexadecimal[20:32],
        )
    )


class TaskNames:
    """A task's name for each group: its slice, with the prompt variant and the settings unless the slice has one."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._variants: dict[str, set[str]] = {}
        self._params: dict[str, set[str]] = {}
        self._names = Names()
        for each in groups:
            self._variants.setdefault(each.slice_id, set()).add(each.prompt_variant_id)
            self._params.setdefault(each.slice_id, set()).add(each.params)

    def of(self, group: Group) -> str:
        """The name, which is that of no other task; models share it. A group without scores is called by all it has."""
        parts = [group.slice_id]
        if self._variants.get(group.slice_id) != {group.prompt_variant_id}:
            parts.append(group.prompt_variant_id)
        if self._params.get(group.slice_id) != {group.params}:
            parts.append(group.params)
        return self._names.take("-".join(parts), group.slice_id, group.prompt_variant_id, group.params)


def names_of(scorers: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """One name for each score of a slice: the score's own, with its metric if it has several."""
    places = list(scorers)
    many = {(place[0], place[1]) for place in places if sum(each[:2] == place[:2] for each in places) > 1}
    return {place: f"{place[1]}/{place[2]}" if place[:2] in many else place[1] for place in places}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, allow_nan=False, indent=2) + "\n", "utf-8")
