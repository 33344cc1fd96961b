"""Reads spec files: plain data with the line of everything in it. What the data means is said by the spec classes."""

from __future__ import annotations

from pathlib import Path

from themis_core.errors import SpecError
from themis_documents import DocumentError, Source, kind_of, read_source

__all__ = ["read_spec"]

_MAPPING = "a spec is a mapping, with keys such as 'benchmark' at the top"


def read_spec(path: Path | str) -> Source:
    """Read a spec file, whose `data` then is a mapping; `-` is standard input. Raises SpecError."""
    try:
        source = read_source(path)
    except DocumentError as error:
        raise SpecError(error.message, path=error.path, line=error.line) from error
    if source.data is None:
        raise SpecError(f"the file is empty: {_MAPPING}", path=source.path)
    if not isinstance(source.data, dict):
        raise SpecError(f"the top level is a {kind_of(source.data)}: {_MAPPING}", path=source.path, line=1)
    return source
