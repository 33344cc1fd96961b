"""The tokens of a text that can hold numbers: numerals, signs, operators, names, units, and what is none of these."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

__all__ = ["MINUS", "Token", "tokenize"]

MINUS: Final = "-−‐‑–﹣－"
_LETTER: Final = "A-Za-zµ\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u04ff"
_THIN: Final = "\u00a0\u2007\u2009\u200a\u202f"
_SIGN: Final = rf"[{MINUS}+]?+"
# What may stand between the digits of one numeral: marks, thin spaces, and what LaTeX writes for them.
_GLUE: Final = rf"(?:(?:[.,'’_~{_THIN}]|\{{\\?,\}})(?:\\[!,])?+|\\[!,;:\ ])"
_DATE: Final = r"\d{1,2}(?P<a>[/.-])\d{1,2}(?P=a)\d{4}|\d{4}(?P<b>[/.-])\d{1,2}(?P=b)\d{1,2}"
_FUNCTIONS: Final = "sqrt|log|ln|lg|exp|sin|cos|tan"

_RULES: Final = (
    ("date", rf"(?<![\d/.,-])(?:{_DATE})(?!\d|[/.,-]\d)"),
    ("exponent", rf"(?<=\d)[eE]{_SIGN}\d++(?!\w)"),
    # A plain space is weak: it separates thousands only where every group fits, or else numbers.
    ("numeral", rf"(?<!\d[ ])\d{{1,3}}+(?:[ ]\d{{3}})++(?!\d|[ ]\d)(?:[.,]\d++)?+|\d++(?:{_GLUE}\d++)*+|DECIMAL"),
    ("vulgar", "[¼½¾⅐-⅞↉]"),
    ("degree", r"°|\^\{?\\circ\}?"),
    ("raised", rf"\^\{{[ ]?{_SIGN}\d++[ ]?\}}|\^{_SIGN}\d++|[⁺⁻]?[⁰¹²³⁴-⁹]++|(?<=\d)\*\*{_SIGN}\d++"),
    ("script", r"[\^_]\{[^{}\n]{0,80}+\}|\^\S|(?<=[\w)}\]])_\w++"),
    ("times", r"\\times(?![A-Za-z])|\\cdot(?![A-Za-z])|[×·⋅∙*]|(?<=\d)[ ]?[xX][ ]?(?=\d)"),
    ("slash", r"[/⁄∕]"),
    ("divide", r"\\div(?![A-Za-z])|÷"),
    ("either", r"±|∓|\\[pm][mp](?![A-Za-z])"),
    ("minus", f"[{MINUS}]"),
    ("plus", r"\+"),
    ("colon", ":"),
    ("equals", "[=≈≃]"),
    ("frac", r"\\[dtc]?frac(?![A-Za-z])"),
    ("function", rf"\\(?:{_FUNCTIONS}|[dt]?binom)(?![A-Za-z])|[√∛]|(?<![{_LETTER}])(?:{_FUNCTIONS})(?=[ ]?\()"),
    ("constant", r"[π∞]|\\(?:pi|infty)(?![A-Za-z])"),
    ("percent", rf"\\?%|(?<![{_LETTER}])(?i:per[ ]?cent)(?![{_LETTER}])"),
    ("currency", r"\\?\$|[€£¥₹₩₽¢]"),
    ("scale", "[百千万萬亿億백천만억]"),
    (
        "name",
        rf"\\(?:text|mathrm|mbox)\{{[^{{}}\d\n]{{0,60}}+\}}|[{_LETTER}][{_LETTER}\d]*+(?:_[{_LETTER}\d]++)*+(?:(?<=\d)\.\d++)*+",
    ),
    ("command", r"\\[A-Za-z]++"),
    ("space", rf"(?:[ \t\u3000{_THIN}~]|\\[,;:!\ ])++"),
    ("open", r"[(\[{]"),
    ("close", r"[)\]}]"),
    ("other", r"[\s\S]"),
)


class Token(NamedTuple):
    """One token: its kind (a name in the rules), its text, and where it stands."""

    kind: str
    text: str
    start: int
    end: int


@cache
def _pattern(decimal: str) -> re.Pattern[str]:
    bare = rf"(?<![.,\w)]){re.escape(decimal)}\d++"  # .5, but an ellipsis is no decimal mark
    return re.compile("|".join(f"(?P<{kind}>{rule.replace('DECIMAL', bare)})" for kind, rule in _RULES))


def tokenize(text: str, decimal: str) -> list[Token]:
    """Split a text into tokens, without a gap; `decimal` is the decimal mark, `.` or `,`."""
    return [
        Token(found.lastgroup or "date", found[0], found.start(), found.end())
        for found in _pattern(decimal).finditer(text)
    ]
