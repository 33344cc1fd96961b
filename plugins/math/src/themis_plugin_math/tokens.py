"""Splits what is written in LaTeX, or as people type it, into tokens; what is no mathematics is refused."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["CLOSE", "OPEN", "RELATIONS", "Token", "Unreadable", "boxes", "split", "tokenize"]

MAX_LENGTH: Final = 2_000
MAX_DEPTH: Final = 40


class Unreadable(ValueError):
    """What is written can't be read as mathematics, or not in one way only; the message says why."""


class Token(NamedTuple):
    """`kind` is number, letter, name, matrix, end or the sign itself; `spaced` if white space stands before it."""

    kind: str
    text: str
    spaced: bool = False


RELATIONS: Final = frozenset({"=", "<", ">", "<=", ">=", "!="})
OPEN: Final = frozenset({"(", "[", "{", "\\{", "matrix", "floor(", "ceil("})
CLOSE: Final = frozenset({")", "]", "}", "\\}", "end", ")floor", ")ceil"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SIGNS: Final = {
    "\u00a0": " ", "\u2009": " ", "\u202f": " ",
    "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "⁄": "/", "π": "\\pi ", "∞": "\\infty ",
    "√": "\\sqrt ", "≤": "<=", "≥": ">=", "≠": "!=", "°": "^\\circ ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ",
    "±": "\\pm ", "∅": "\\emptyset ", "θ": "\\theta ", "**": "^", "½": "\\frac{1}{2}", "⅓": "\\frac{1}{3}",
    "⅔": "\\frac{2}{3}", "¼": "\\frac{1}{4}", "¾": "\\frac{3}{4}", "²": "^{2}", "³": "^{3}", "⟨": "(", "⟩": ")",
}  # fmt: skip
_COMMANDS: Final = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=",
    "geq": ">=", "geqslant": ">=", "ne": "!=", "neq": "!=", "lt": "<", "gt": ">", "langle": "(", "rangle": ")",
    "lbrace": "\\{", "rbrace": "\\}", "lvert": "|", "rvert": "|", "vert": "|", "lfloor": "floor(", "rfloor": ")floor",
    "lceil": "ceil(", "rceil": ")ceil", "cup": "cup", "cap": "cap", "in": "in", "land": "and", "lor": "or",
    "varnothing": "emptyset", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")",
}  # fmt: skip
_NAMES: Final = _words(
    "frac sqrt binom sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp abs pi infty circ degree "
    "emptyset pm mp inf infinity"
)
_GREEK: Final = _words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau phi varphi chi "
    "psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell"
)
_BARE: Final = _words("sqrt sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp abs pi inf infinity")
_JOINS: Final = frozenset({"and", "or"})
_PROSE: Final = _words(
    "no on is it in of an at to if so as by we he me my us up do go be am the yes not for are any all one two six ten "
    "but odd its has was can may nor yet our you she her him his who how why let say see set sum max min new"
)
"""Words of three letters or fewer that are words, and no products of letters."""

_LATEX_GLUE: Final = r"(?:\{,\}|,?\\[,!])"
_TOKEN: Final = re.compile(
    rf"""(?P<space>\s+)
    | (?P<grouped>\d{{1,3}}(?:{_LATEX_GLUE}\d{{3}})+(?:\.\d+)?(?!\d))
    | (?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{{1,4}}(?![\d.]))?)
    | \\begin\s*\{{(?P<matrix>[pbBvV]?matrix)\}} | \\end\s*\{{(?P<end>[pbBvV]?matrix)\}}
    | \\(?P<command>[A-Za-z]+) | (?P<row>\\\\) | (?P<brace>\\[{{}}]) | (?P<percent>\\?%) | (?P<word>[A-Za-z]+)
    | (?P<sign><=|>=|!=|[-+*/^!=<>|()\[\]{{}},;&_])""",
    re.VERBOSE | re.ASCII,
)
_WRAPPER: Final = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|operatorname|mbox|ensuremath)\s*\{([^{}]*)\}"
)
_BLANK: Final = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|quad|qquad|limits|boldsymbol)(?![A-Za-z])"
    r"|(?<!\\)\\[,;:! ()\[\]]|~|\$"
)
_THOUSANDS: Final = re.compile(r"[+-]?\s*\d{1,3}(,\d{3})+(\.\d+)?\s*(\\?%)?")
_BOX: Final = re.compile(r"\\(?:boxed|fbox)\s*\{")


def boxes(text: str) -> list[str]:
    """What stands in boxes, in order; the whole text if there is none.

    Raises Unreadable for a box that is not closed.
    """
    found, position = [], 0
    while match := _BOX.search(text, position):
        depth = 1
        for position in range(match.end(), len(text)):
            if text[position - 1] != "\\":
                depth += {"{": 1, "}": -1}.get(text[position], 0)
            if not depth:
                break
        if depth:
            raise Unreadable("a box is not closed")
        found.append(text[match.end() : position])
    return found or [text]


def tokenize(text: str) -> list[Token]:
    """Split into tokens. Raises Unreadable where something is no mathematics, or is nested too deeply."""
    text = _cleaned(text)
    tokens: list[Token] = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"no mathematics: {text[position : position + 20]!r}")
        if match.lastgroup != "space":
            read = _read(match, spaced)
            if tokens and tokens[-1].kind == "," and re.fullmatch(r"0\d\d", read[0].text) and not spaced:
                raise Unreadable("thousands, or a list: write no comma, or a space after it")
            tokens += read
        spaced, position = match.lastgroup == "space", match.end()
    _check_depth(tokens)
    return tokens


def _cleaned(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise Unreadable(f"longer than {MAX_LENGTH:,} characters")
    text = text.strip().removeprefix("\\$")
    for sign, meaning in _SIGNS.items():
        text = text.replace(sign, meaning)
    text = re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", text)
    text = re.sub(rf"(?<=\d){_LATEX_GLUE}(?=\d\d\d(?!\d))", "{,}", text)
    text = _BLANK.sub(" ", _WRAPPER.sub(r" \1 ", text)).strip()
    text = text.removesuffix(".").strip()
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text


def _read(match: re.Match[str], spaced: bool) -> list[Token]:
    kind, text = str(match.lastgroup), match[match.lastgroup or 0]
    if kind == "grouped":
        return [Token("number", re.sub(_LATEX_GLUE, "", text), spaced)]
    if kind == "command":
        return [_command(text, spaced)]
    if kind == "word":
        return _word(text, spaced)
    if kind in ("number", "matrix", "end"):
        return [Token(kind, text, spaced)]
    return [Token("%" if kind == "percent" else text, text, spaced)]


def _command(text: str, spaced: bool) -> Token:
    name = _COMMANDS.get(text, text)
    if name in _NAMES:
        return Token("name", name, spaced)
    if text in _GREEK:
        return Token("letter", text, spaced)
    if text in _COMMANDS:
        return Token(name, name, spaced)
    raise Unreadable(f"no known command: \\{text}")


def _word(text: str, spaced: bool) -> list[Token]:
    lower = text.lower()
    if lower in _JOINS:
        return [Token(lower, lower, spaced)]
    if lower in _BARE:
        return [Token("name", lower, spaced)]
    if lower in ("degree", "degrees"):
        return [Token("^", "^", spaced), Token("name", "circ")]
    if lower == "percent":
        return [Token("%", "%", spaced)]
    if len(text) > 3 or (len(text) > 1 and lower in _PROSE):
        raise Unreadable(f"a word: {text!r:.40}")
    return [Token("letter", letter, spaced) for letter in text]


def _check_depth(tokens: list[Token]) -> None:
    depth = 0
    for token in tokens:
        depth += (token.kind in OPEN) - (token.kind in CLOSE)
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        if depth < 0:
            raise Unreadable("a bracket is closed that was not opened")
    if depth:
        raise Unreadable("a bracket is not closed")


def split(tokens: list[Token], kinds: frozenset[str] | set[str]) -> tuple[list[list[Token]], list[str]]:
    """Split at the tokens of these kinds that stand in no bracket; the parts, and the kinds between them."""
    parts: list[list[Token]] = [[]]
    between: list[str] = []
    depth = 0
    for token in tokens:
        depth += (token.kind in OPEN) - (token.kind in CLOSE)
        if depth == 0 and token.kind in kinds:
            between.append(token.kind)
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, between
