"""JSON Lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecoder
from pathlib import Path
from typing import Any

from themis_core import SpecError, shown_path
from themis_rows.streams import numbered_lines, utf8
from themis_rows.strict_json import DECODER, MAX_DEPTH, check_depth, problem, type_name

__all__ = ["json_object", "jsonl_rows"]


def jsonl_rows(path: Path, decoder: JSONDecoder = DECODER) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, row); blank lines are skipped. Raises SpecError."""
    with numbered_lines(path) as lines:
        for number, line in lines:
            if not line.isspace():
                yield number, json_object(line, path, number, decoder)


def json_object(line: bytes, path: Path, number: int, decoder: JSONDecoder = DECODER) -> dict[str, Any]:
    """Decode one line. Raises SpecError."""
    try:
        data = _decoded(line.rstrip().decode(), decoder)
        if len(line) > 2 * MAX_DEPTH:  # no shorter one can be nested deeper
            check_depth(data, line.count(b"{") + line.count(b"["))
    except UnicodeDecodeError:
        utf8(line, path, number)
        raise
    except (ValueError, RecursionError) as error:
        raise SpecError(_explained(error, line), path=shown_path(path), line=number) from error
    if type(data) is not dict:
        raise SpecError(f"the row is {type_name(data)}, not an object", path=shown_path(path), line=number)
    return data


def _decoded(text: str, decoder: Any) -> Any:
    # `decode` looks for spaces around the text, which takes as long as a short row.
    try:
        data, end = decoder.scan_once(text, 0)
    except StopIteration:
        end = None
    return data if end == len(text) else decoder.decode(text)


def _explained(error: Exception, line: bytes) -> str:
    message = problem(error)
    if line.strip() in (b"[", b"{"):
        message += "; a JSON document over several lines is not JSON Lines: read it as JSON"
    return message
