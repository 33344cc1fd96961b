"""Names and files as other tools want them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from themis_core import digest
from themis_plugin_interop.trials import Group

__all__ = ["as_json", "names_of", "safe_name", "sha256_of", "task_names", "uuid_of", "write_json", "write_line"]


def as_json(value: Any) -> str:
    """One line of JSON; lone surrogates stay, as escapes, and there is no NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def write_line(file: IO[str], value: Any) -> None:
    file.write(as_json(value) + "\n")


def safe_name(text: str) -> str:
    """A name that every file system takes: letters, digits, `.`, `-` and `_`, at most 100, no dot first."""
    short = re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).lstrip(".")[:100]
    return short if short == text else f"{short or 'x'}-{digest(text)[:8]}"


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


def task_names(groups: Iterable[Group]) -> dict[Group, str]:
    """A task's name for each group: its slice, with the prompt variant and the settings if the slice has several."""
    known = list(groups)
    variants = {(each.slice_id, each.prompt_variant_id) for each in known}
    params = {(each.slice_id, each.params) for each in known}
    return {
        each: "-".join(
            (
                each.slice_id,
                *([each.prompt_variant_id] if _several(variants, each.slice_id) else []),
                *([each.params] if _several(params, each.slice_id) else []),
            )
        )
        for each in known
    }


def _several(found: set[tuple[str, str]], slice_id: str) -> bool:
    return sum(each[0] == slice_id for each in found) > 1


def names_of(scorers: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """One name for each score of a slice: the score's own, with its metric if it has several."""
    places = list(scorers)
    many = {(place[0], place[1]) for place in places if sum(each[:2] == place[:2] for each in places) > 1}
    return {place: f"{place[1]}/{place[2]}" if place[:2] in many else place[1] for place in places}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, allow_nan=False, indent=2) + "\n", "utf-8")
