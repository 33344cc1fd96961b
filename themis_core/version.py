"""Which Themis this is, and which distributions are installed beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib_metadata import Distribution

__all__ = ["name_and_version", "version"]

_FIELD: Final = re.compile(r"^(name|version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
_END_OF_HEADER: Final = re.compile(r"\n\r?\n")


def version() -> str:
    """The version of the installed distribution; `unknown` if there is none."""
    from contextlib import suppress

    from importlib_metadata import Distribution

    for found in Distribution.discover(name="themis-core"):
        with suppress(Exception):  # what an installation that was cut off has left, and which comes first on the path
            return name_and_version(found)[1]
    return "unknown"


def name_and_version(distribution: Distribution) -> tuple[str, str]:
    """What a distribution calls itself. Raises ValueError if it does not say so, or what reading its file raises."""
    # `distribution.metadata` would import the parser of e-mails, which every run would wait for.
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = {name.lower(): value for name, value in _FIELD.findall(_END_OF_HEADER.split(text, 1)[0])}
    name, version = fields.get("name"), fields.get("version")
    if not name or not version:
        raise ValueError("its metadata name no distribution and version: an installation or removal was cut off")
    return name, version
