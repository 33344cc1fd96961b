"""The JSON values of a text in their order, strict or lenient, each with its flaw."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Literal

__all__ = ["BROKEN", "Found", "Lenience", "TooDeepError", "looks_like_json", "read_values"]

Lenience = Literal["never", "delimited", "anywhere"]

BROKEN: Final = "invalid_json"
_MAX_DEPTH: Final = 200
_MAX_DIGITS: Final = 4300  # Python's own bound on turning text into int
_MAX_LENIENT: Final = 20_000  # characters of a text that are read leniently: json5 reads about as many in a second
_LEAST: Final = 100  # what one value counts at least, since each costs about a millisecond
_JSON_FENCES: Final = frozenset({"", "json", "jsonc", "json5", "jsonl"})

# What begins like an object or array, so that what can't be one costs no try. A key may be quoted in any way or bare,
# but a brace after a letter or backslash is LaTeX, as in \text{if: …} and \{x : x > 0\}. A text may end there.
_OBJECT: Final = r"\{(?=\s*[\"'“”‘’}]|\s*(?://|/\*|\#)|\s*\Z)|(?<![\\A-Za-z_^])\{(?=\s*[\w$.-]++\s*(?::|\Z))"
# In prose, a bracket may be anything: a list has a first value with a comma, or numbers apart, or is cut off there.
_LIST: Final = re.compile(r"\[(?=\s*(?:[\[{\"']|\Z|[\w.+-]++\s*(?:,|\Z)|[\d.+-]++\s+[\d-]))")
_START: Final = re.compile(rf"{_OBJECT}|\[(?=\s*[\dtfnNI\]-])|{_LIST.pattern}")
_OBJECTS: Final = re.compile(r"\{|\[\s*\{")
_FENCE: Final = re.compile(r"`{3,}(?:[ \t]*([\w+#.-]*)[ \t]*(?=[\r\n{\[]|\Z))?")
_COMMENT: Final = r"//[^\n]*+|\#[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/"
_TOKEN: Final = re.compile(
    rf"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|{_COMMENT}|[{{}}\[\]]|[\"']|/\*|\b(?:True|False|None)\b", re.DOTALL
)
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}
# Escapes that are meant as such. Any other backslash is one of LaTeX, which JSON would refuse (\(), or worse, read:
# \frac as a form feed, \beta as a backspace, \rho as a carriage return, \times as a tab, \neq as a line break.
_TAB_COMMANDS: Final = "imes|ext[a-z]*|heta|anh?|au|o|op|frac|binom|riangle|ilde|herefore|ag"
_LINE_COMMANDS: Final = "abla|eq|eg|ot|otin|exists|mid|parallel|leq|geq|subseteq|ewline"
_BACKSLASH: Final = re.compile(
    rf"\\(?:[\"\\/'\n]|u[0-9a-fA-F]{{4}}|x[0-9a-fA-F]{{2}}|[bfr](?![A-Za-z])"
    rf"|t(?!(?:{_TAB_COMMANDS})(?![A-Za-z]))|n(?!(?:{_LINE_COMMANDS})(?![A-Za-z]))|(?P<latex>))"
)


class TooDeepError(Exception):
    """A value has more than 200 levels."""


@dataclass(frozen=True, slots=True)
class Found:
    """A JSON value, or what was meant as one (`invalid_json`).

    `ranked`: it comes before the others. These are arrays in prose, which may be citations.
    """

    value: Any
    flaw: str | None = None
    ranked: bool = True


def looks_like_json(text: str) -> bool:
    return "{" in text or "[" in text


def read_values(text: str, lenient: Lenience) -> list[Found]:
    """Return the JSON values of a text, outermost only, in their order; a text that is one value has that alone.

    With `never` JSON is read as RFC 8259 has it, but for raw line breaks in strings. With the others, backslashes of
    LaTeX stay, and JSON5, Python's literals and `#` comments are read: with `delimited` where the value is all
    of the text or stands in a fence, with `anywhere` in prose as well. Raises TooDeepError or RecursionError.
    """
    text = text.strip()
    whole = _whole(text, lenient)
    if isinstance(whole and whole.value, str):
        whole = _whole_container(whole.value, lenient) or whole  # type: ignore[union-attr]
    return [whole] if whole else list(_Scan(_keep_latex(text, lenient), lenient).values())


def _whole(text: str, lenient: Lenience) -> Found | None:
    reader = _Reader()
    try:
        value = reader.decoder.decode(_keep_latex(text, lenient))
    except json.JSONDecodeError:
        return None
    return Found(value, reader.checked(value))


def _whole_container(text: str, lenient: Lenience) -> Found | None:
    """Read the object or array that was written as a JSON string."""
    found = _whole(text.strip(), lenient)
    return found if found and isinstance(found.value, (dict, list)) else None


def _keep_latex(text: str, lenient: Lenience) -> str:
    if lenient == "never":
        return text
    return _BACKSLASH.sub(lambda found: found[0] if found.lastgroup is None else "\\\\", text)


@dataclass(frozen=True, slots=True)
class _Fence:
    start: int
    end: int
    language: str


def _fences(text: str) -> list[_Fence]:
    marks = list(_FENCE.finditer(text))
    ends = [each.start() for each in marks[1::2]] + [len(text)]
    return [_Fence(mark.end(), end, (mark[1] or "").lower()) for mark, end in zip(marks[::2], ends, strict=False)]


class _Scan:
    """Reads a text from each opening on; what was read, or is broken, is passed over as a whole."""

    def __init__(self, text: str, lenient: Lenience) -> None:
        self.text = text
        self.uncounted = _Uncounted(text)
        self.lenient = lenient
        self.left = _MAX_LENIENT
        self.reader = _Reader()
        self.fences = _fences(text)
        self.starts = [each.start for each in self.fences]

    def values(self) -> Iterator[Found]:
        opening = _START.search(self.text)
        while opening is not None:
            start = opening.start()
            found, position = self._strictly(start)
            if found is None:
                read = self._object if opening[0] == "{" else self._array
                found, position = read(start, position)
            if found is not None:
                yield found
            opening = _START.search(self.text, position)

    def _strictly(self, start: int) -> tuple[Found | None, int]:
        """Return the value and its end, or None and the place behind which the search may go on."""
        self.reader.flaw = None
        try:
            value, end = self.reader.decoder.raw_decode(self.uncounted, start)
        except json.JSONDecodeError as error:
            return None, max(error.pos, start + 1)
        return Found(value, self.reader.checked(value), self._ranked(start)), end

    def _ranked(self, start: int) -> bool:
        """Say whether it is an object, an array of objects, or stands in a fence."""
        return _OBJECTS.match(self.text, start) is not None or self._fence(start) is not None

    def _object(self, start: int, failed: int) -> tuple[Found | None, int]:
        """Read an object leniently, where that is allowed; else it is broken, and passed over as a whole."""
        fence = self._fence(start)
        limit = fence.end if fence else len(self.text)
        end = _closing(self.text, start, limit)
        if end is not None:
            found = self._leniently(start, end)
            if found is not None:
                return found, end
        is_code = end is not None and fence is not None and self._is_code(fence, start)
        return None if is_code else Found({}, BROKEN), max(end or limit, failed)

    def _array(self, start: int, failed: int) -> tuple[Found | None, int]:
        """Do the same for an array; but what may be a bracket of prose is neither broken nor passed over."""
        fence = self._fence(start)
        if fence or start == 0 or self.lenient == "anywhere":
            limit = min(fence.end if fence else len(self.text), start + self.left)
            end = _closing(self.text, start, limit)
            found = self._leniently(start, end) if end else None
            if end and found:
                return found, end
            self.left -= limit - start  # since it is read again from the next bracket on
        return Found([], BROKEN, self._ranked(start)) if _LIST.match(self.text, start) else None, failed

    def _fence(self, start: int) -> _Fence | None:
        at = bisect_right(self.starts, start) - 1
        return self.fences[at] if at >= 0 and start < self.fences[at].end else None

    def _is_code(self, fence: _Fence, start: int) -> bool:
        return fence.language not in _JSON_FENCES and bool(self.text[fence.start : start].strip())

    def _may_be_lenient(self, start: int, end: int) -> bool:
        if self.lenient == "never" or end - start > self.left:
            return False
        is_whole = start == 0 and end == len(self.text)
        return self.lenient == "anywhere" or is_whole or self._fence(start) is not None

    def _leniently(self, start: int, end: int) -> Found | None:
        if not self._may_be_lenient(start, end):
            return None
        import json5  # only where strict JSON was not enough

        self.left -= max(end - start, _LEAST)
        self.reader.flaw = None
        reader = self.reader
        try:
            value = json5.loads(
                _TOKEN.sub(lambda found: _as_json5(found[0]), self.text[start:end]),
                strict=False,
                object_pairs_hook=reader.object,
                parse_float=reader.float,
                parse_int=reader.int,
                parse_constant=reader.constant,
            )
        except ValueError:
            return None
        return Found(value, reader.checked(value), self._ranked(start))


def _as_json5(token: str) -> str:
    return "" if token.startswith("#") else _PYTHON.get(token, token)


def _closing(text: str, start: int, limit: int) -> int | None:
    """Return the end of what is opened at `start`; None if it, or a string or comment in it, is not closed."""
    opening = text[start]
    closing = "}" if opening == "{" else "]"
    depth = 0
    for token in _TOKEN.finditer(text, start, limit):
        if token[0] in ('"', "'", "/*"):
            return None
        depth += (token[0] == opening) - (token[0] == closing)
        if depth == 0:
            return token.end()
    return None


class _Uncounted(str):
    """A text whose lines are not counted: JSONDecodeError counts them up to each error, quadratic in all."""

    __slots__ = ()

    def count(self, *args: Any) -> int:
        return 0

    def rfind(self, *args: Any) -> int:
        return 0


class _Reader:
    """What decoders call for each part of a value; remembers the first flaw and goes on."""

    def __init__(self) -> None:
        self.flaw: str | None = None
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self.object,
            parse_float=self.float,
            parse_int=self.int,
            parse_constant=self.constant,
            strict=False,
        )

    def checked(self, value: Any) -> str | None:
        if _deeper_than(value, _MAX_DEPTH):
            raise TooDeepError
        return self.flaw

    def object(self, pairs: Any) -> dict[str, Any]:
        listed = list(pairs)
        value = dict(listed)
        if len(value) != len(listed):
            self.flaw = self.flaw or "duplicate_keys"
        return value

    def float(self, digits: str) -> Any:
        value = float(digits)
        if not isfinite(value):
            self.flaw = self.flaw or "not_finite"
        return value

    def int(self, digits: str, base: Any = 10) -> Any:
        if len(digits) > _MAX_DIGITS:
            self.flaw = self.flaw or "number_too_long"
            return 0
        return int(digits, base)

    def constant(self, name: str) -> None:
        self.flaw = self.flaw or "not_finite"


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for each in level
            if isinstance(each, (dict, list))
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True
