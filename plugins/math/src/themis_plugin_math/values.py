"""Reads what an answer is: a number or expression, a list, set, tuple or interval, a relation, a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sympy
from sympy import nan, zoo

from themis_plugin_math.expressions import read_expression
from themis_plugin_math.tokens import CLOSE, OPEN, RELATIONS, Token, Unreadable, split, tokenize

__all__ = ["Bracketed", "Listed", "Matrix", "Named", "Related", "Scalar", "United", "Value", "read_value"]


@dataclass(frozen=True)
class Scalar:
    """A number or an expression."""

    expression: Any


@dataclass(frozen=True)
class Listed:
    """Values in any order: `1, 2` and `1 or 2` (a list), `\\{1, 2\\}` (a set)."""

    items: tuple[Value, ...]
    join: str


@dataclass(frozen=True)
class Bracketed:
    """Values in order, with the brackets around them: a tuple or an interval."""

    items: tuple[Value, ...]
    brackets: str


@dataclass(frozen=True)
class United:
    """Sets and intervals with a sign of union or intersection between them."""

    parts: tuple[Value, ...]
    join: str


@dataclass(frozen=True)
class Named:
    """A value with its name: `x = 3`, `f(x) = 2x`."""

    name: str
    value: Value


@dataclass(frozen=True)
class Related:
    """Two or more expressions with relations between them, that name no value: `x + y = 2`, `1 < x < 2`."""

    sides: tuple[Any, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """Rows of expressions."""

    rows: tuple[tuple[Value, ...], ...]


Value = Scalar | Listed | Bracketed | United | Named | Related | Matrix

_PLUS_MINUS: Final = ({"pm": "+", "mp": "-"}, {"pm": "-", "mp": "+"})


def read_value(text: str, *, percent: Any) -> Value:
    """Read a whole text. Raises Unreadable where it is no mathematics, or could be read in two ways."""
    tokens = tokenize(text)
    if not tokens:
        raise Unreadable("nothing is there")
    return _Shapes(percent).value(tokens)


class _Shapes:
    def __init__(self, percent: Any) -> None:
        self._percent = percent

    def value(self, tokens: list[Token]) -> Value:
        if not tokens:
            raise Unreadable("a value is missing")
        for joins in ({"or"}, {"and"}, {",", ";"}):
            parts, between = split(tokens, joins)
            if between:
                return self._listed(parts, min(joins))
        if any(token.text in ("pm", "mp") for token in tokens):
            return Listed(tuple(self.value(_signed(tokens, signs)) for signs in _PLUS_MINUS), ",")
        sides, relations = split(tokens, RELATIONS)
        if relations:
            return self._related(sides, relations)
        return self._single(tokens)

    def _listed(self, parts: list[list[Token]], join: str) -> Listed:
        items: list[Value] = []
        for part in parts:
            item = self.value(part) if part else None
            if item is not None:  # `1, 2, and 3` has an empty part
                items += item.items if isinstance(item, Listed) and item.join in (",", join) else [item]
        if len(items) < 2:
            raise Unreadable("a value is missing")
        return Listed(tuple(items), join)

    def _single(self, tokens: list[Token]) -> Value:
        for join in ("cup", "cap"):
            parts, between = split(tokens, {join})
            if between:
                return United(tuple(self._single(part) for part in parts), join)
        if len(tokens) > 2 and tokens[0].kind == "letter" and tokens[1].kind == "in":
            return self._single(tokens[2:])
        if tokens and tokens[0].text == "emptyset" and len(tokens) == 1:
            return Listed((), "set")
        if len(tokens) > 1 and _is_enclosed(tokens):
            return self._enclosed(tokens)
        return Scalar(self._expression(tokens))

    def _enclosed(self, tokens: list[Token]) -> Value:
        opening, closing, inner = tokens[0].kind, tokens[-1].kind, tokens[1:-1]
        if opening == "matrix":
            return self._matrix(inner)
        parts, between = split(inner, {",", ";"})
        if opening == "\\{" or (opening == "{" and between):
            return self._set(parts if inner else [])
        if between and opening + closing in ("()", "[]", "(]", "[)"):
            return Bracketed(tuple(self.value(part) for part in parts), opening + closing)
        if opening + closing == "{}":
            return self.value(inner)
        return Scalar(self._expression(tokens))

    def _set(self, parts: list[list[Token]]) -> Listed:
        items: list[Value] = []
        for part in parts:
            item = self.value(part)
            items += item.items if isinstance(item, Listed) and item.join == "," else [item]
        return Listed(tuple(items), "set")

    def _matrix(self, tokens: list[Token]) -> Matrix:
        lines, _ = split(tokens, {"\\\\"})
        if lines and not lines[-1]:
            lines.pop()
        rows = tuple(tuple(self.value(cell) for cell in split(line, {"&"})[0]) for line in lines)
        if not rows or len({len(row) for row in rows}) > 1:
            raise Unreadable("the rows of a matrix differ in length")
        return Matrix(rows)

    def _related(self, sides: list[list[Token]], relations: list[str]) -> Value:
        if set(relations) == {"="}:
            if name := _name_of(sides[0]):
                return Named(name, self._agreed(sides[1:]))
            if len(sides) == 2 and (name := _name_of(sides[1])):
                return Named(name, self._single(sides[0]))
        expressions = tuple(map(self._expression, sides))
        if set(relations) == {"="} and not any(side.free_symbols for side in expressions):
            return self._agreed(sides)  # `1 + 2 = 3` is 3
        return Related(expressions, tuple(relations))

    def _agreed(self, sides: list[list[Token]]) -> Value:
        """The value that a chain such as `x = 1 + 2 = 3` ends with, if its sides are one value."""
        if len(sides) == 1:
            return self._single(sides[0])
        values = [self._expression(side) for side in sides]
        if any(sympy.simplify(value - values[-1]) != 0 for value in values):
            raise Unreadable("the sides of a chain of equations differ")
        return Scalar(values[-1])

    def _expression(self, tokens: list[Token]) -> Any:
        if not tokens:
            raise Unreadable("a value is missing")
        value = read_expression(tokens, percent=self._percent)
        if value is nan or value.has(zoo, nan):
            raise Unreadable("it has no finite value")
        return value


def _signed(tokens: list[Token], signs: dict[str, str]) -> list[Token]:
    return [Token(sign, sign) if (sign := signs.get(each.text)) else each for each in tokens]


def _is_enclosed(tokens: list[Token]) -> bool:
    """Whether the first bracket is closed by the last token."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.kind in OPEN) - (token.kind in CLOSE)
        if depth == 0:
            return at == len(tokens) - 1 and token.kind in CLOSE
    return False


def _name_of(tokens: list[Token]) -> str | None:
    """The name of a variable, `x` or `x_1`, or of a function with its variables, `f(x)`."""
    kinds = [token.kind for token in tokens]
    text = "".join(token.text for token in tokens)
    if text in ("e", "i") or kinds[:1] != ["letter"]:
        return None
    is_variable = len(kinds) == 1 or (kinds[1] == "_" and (len(kinds) == 3 or (kinds[2], kinds[-1]) == ("{", "}")))
    is_function = len(kinds) > 3 and (kinds[1], kinds[-1]) == ("(", ")") and set(kinds[2:-1]) <= {"letter", ","}
    return text.replace("{", "").replace("}", "") if is_variable or is_function else None
