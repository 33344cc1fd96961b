"""A JSON document: a list of objects, at the top or somewhere inside."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, Final

from themis_core import SpecError, shown_path
from themis_rows.streams import opened, utf8
from themis_rows.strict_json import DECODER, check_depth, problem, type_name

__all__ = ["MAX_DOCUMENT", "json_rows"]

MAX_DOCUMENT: Final = 512 * 2**20
"""Most bytes that a document may have, decompressed: its text is in memory as a whole, its rows are not."""

_space = re.compile(r"[ \t\n\r]*").match


def json_rows(
    path: Path, rows_path: str | None = None, decoder: JSONDecoder = DECODER
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line on which it starts, row) of a document that is a list of objects, or has one at `rows_path`.

    `rows_path` is keys joined by dots, such as `data.rows`. Raises SpecError.
    """
    name, text = shown_path(path), _text(path)
    line, counted = 1, 0
    found = _document(text, rows_path.split(".") if rows_path else [], decoder)
    while True:
        try:
            data, start, end = next(found)
            line, counted = line + text.count("\n", counted, start), start
            check_depth(data, text.count("{", start, end) + text.count("[", start, end))
        except StopIteration:
            return
        except JSONDecodeError as error:
            raise SpecError(_explained(error), path=name, line=error.lineno) from error
        except _AtOffset as error:
            raise SpecError(error.message, path=name, line=text.count("\n", 0, error.at) + 1) from error
        except (ValueError, RecursionError) as error:
            raise SpecError(f"the row at or after this line: {problem(error)}", path=name, line=line) from error
        if type(data) is not dict:
            raise SpecError(f"the row is {type_name(data)}, not an object", path=name, line=line)
        yield line, data


class _AtOffset(ValueError):
    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message, self.at = message, at


_Elements = Generator[tuple[Any, int, int], None, int]
"""Yields (element, start, end) of the list of rows, and returns where the text after it goes on."""


def _text(path: Path) -> str:
    with opened(path) as stream:
        data = stream.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        message = f"the document has more than {MAX_DOCUMENT // 2**20} MiB: convert it to JSON Lines"
        raise SpecError(message, path=shown_path(path))
    return utf8(data, path, 1).removeprefix("\ufeff")


def _document(text: str, keys: list[str], decoder: JSONDecoder) -> _Elements:
    end = _skip(text, (yield from _value(text, _skip(text, 0), keys, 0, decoder)))
    if end < len(text):
        raise JSONDecodeError("Extra data", text, end)
    return end


def _value(text: str, at: int, keys: list[str], depth: int, decoder: JSONDecoder) -> _Elements:
    if depth == len(keys):
        return (yield from _list(text, at, keys, decoder))
    if text[at : at + 1] != "{":
        where = f"at {'.'.join(keys[:depth])!r}" if depth else "at the top"
        value, _ = decoder.raw_decode(text, at)
        raise _AtOffset(f"rows_path looks for the key {keys[depth]!r}, but {where} is {type_name(value)}", at)
    start = at
    seen: set[str] = set()
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}" or seen:
        key, colon = _key(text, at)
        if key in seen:
            raise _AtOffset(f"the key {key!r} is there twice", at)
        seen.add(key)
        at = _skip(text, colon + 1)
        if key == keys[depth]:
            end = yield from _value(text, at, keys, depth + 1, decoder)
        else:
            _, end = decoder.raw_decode(text, at)
        at, last = _next(text, end, "}")
        if last:
            break
    if keys[depth] not in seen:
        known = ", ".join(sorted(seen)) or "none"
        raise _AtOffset(f"rows_path: no key {keys[depth]!r} here; there are: {known}", start)
    return at + 1


def _list(text: str, at: int, keys: list[str], decoder: JSONDecoder) -> _Elements:
    if text[at : at + 1] != "[":
        value, _ = decoder.raw_decode(text, at)
        what = f"at {'.'.join(keys)!r}" if keys else "the document"
        lists = [key for key, each in value.items() if isinstance(each, list)] if isinstance(value, dict) else []
        hint = f"; name the list of rows by rows_path: {', '.join(lists)}" if lists else ""
        raise _AtOffset(f"{what} is {type_name(value)}, not a list of objects{hint}", at)
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        element, end = decoder.raw_decode(text, at)
        yield element, at, end
        at, last = _next(text, end, "]")
        if last:
            return at + 1


def _key(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    key, end = DECODER.raw_decode(text, at)
    end = _skip(text, end)
    if text[end : end + 1] != ":":
        raise JSONDecodeError("Expecting ':' delimiter", text, end)
    return key, end


def _next(text: str, at: int, closing: str) -> tuple[int, bool]:
    """Go past a comma, or stop at the closing bracket, which is the last."""
    at = _skip(text, at)
    mark = text[at : at + 1]
    if mark == closing:
        return at, True
    if mark != ",":
        raise JSONDecodeError("Expecting ',' delimiter", text, at)
    return _skip(text, at + 1), False


def _skip(text: str, at: int) -> int:
    found = _space(text, at)
    return found.end() if found else at


def _explained(error: JSONDecodeError) -> str:
    hint = "; one object per line is JSON Lines: read it as such" if error.msg == "Extra data" else ""
    return problem(error) + hint
