"""Texts that models, datasets or attackers have produced, and that a component must take without raising.

Used by the compliance suites of extractors and metrics; each text has a name, so that a failure says which one it was.
`mutated` does the same to replies: each of its parts is anything else once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["HOSTILE_TEXTS", "mutated"]

HOSTILE_TEXTS: Final[Mapping[str, str]] = {
    "empty": "",
    "white space": " \t\r\n\u00a0\u2003\u200b",
    "nul": "A\x00B: 4\x002",
    "controls": "".join(map(chr, range(32))) + "\x7f\x85",
    "lone high surrogate": "answer \ud83d 7",
    "lone low surrogates": "\udc00" * 100,
    "bidi": "\u202e\u2066The answer is 12\u2069\u202c \u200f34",
    "combining marks": "A" + "\u0301" * 10_000,
    "expanding by NFKC": "\ufdfa" * 10_000,
    "not a character": "\uffff\ufffe\U0010ffff",
    "emoji": "👩‍👩‍👧‍👦 7️⃣ 🏳️‍🌈",
    "other digits": "١٢٣ １２３ ² ⅷ 𝟙𝟚 ½ 億",
    "long word": "a" * 1_000_000,
    "long number": "9" * 1_000_000,
    "long blank": " " * 1_000_000,
    "blank lines": "\n" * 1_000_000,
    "many numbers": "1,234.5 " * 20_000,
    "huge exponent": "1e400 -1e400 1e99999999999999999999 1e-99999999999999999999",
    "not finite": "NaN Infinity -inf",
    "signs": "-" * 60_000,
    "open braces": "{" * 60_000,
    "open brackets": "[" * 60_000,
    "open objects": '{"a":' * 12_000,
    "open strings": '["' * 30_000,
    "deep": "[" * 100_000 + "]" * 100_000,
    "JSON with duplicate keys": '{"a": 1, "a": 2}',
    "JSON beyond doubles": '{"a": 1e400, "b": ' + "1" * 5_000 + "}",
    "truncated JSON": '```json\n{"answer": {"value": "4',
    "fences": "```" * 20_000,
    "open tags": "<answer>" * 7_500,
    "closing tags": "</answer>" * 6_500,
    "open reasoning": "<think>" * 8_500,
    "half a tag": "<answer " * 7_500,
    "open boxes": "\\boxed{" * 8_500,
    "backslashes": "\\" * 60_000,
    "quotes": "\"'" * 30_000,
    "catastrophic words": "word " * 12_000 + "!",
    "catastrophic letters": "a" * 50 + "b",
    "labels": "(A) (B) (C) (D) " * 4_000,
    "statements": "The answer is " * 4_000,
    "template": "{{ item.__class__ }} {% for x in y %} ${x} %(x)s {0}",
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "terminal": "\x1b]52;c;aGk=\x07\x1b[2J\rno",
    "formula": "=1+1|'cmd'!A0",
}
"""Name to text. The longest is a million characters."""

_ODD: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1.5, 1e308, float("nan"), "", "x" * 300, "\ud800"),
    *([], {}, [[]], [{}], ["a"], {"a": []}, {"type": []}),
)


def mutated(data: Any) -> Iterator[tuple[str, Any]]:
    """JSON data with one part of it replaced by something else, or left out: the name of the change, and the whole.

    A reply of thirty parts gives some five hundred.
    """
    for path in _paths(data):
        for value in _ODD:
            yield f"{'.'.join(map(str, path))} = {value!r:.20}", _changed(data, path, value)
        if path:
            yield f"{'.'.join(map(str, path))} left out", _changed(data, path)


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, value in items:
        yield from _paths(value, (*path, name))


def _changed(data: Any, path: tuple[Any, ...], *value: Any) -> Any:
    if not path:
        return value[0]
    whole = at = copy.deepcopy(data)
    for name in path[:-1]:
        at = at[name]
    if value:
        at[path[-1]] = copy.deepcopy(value[0])
    else:
        del at[path[-1]]
    return whole
