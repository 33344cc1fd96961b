"""Reads one expression from its tokens, by the usual precedence; what can be read in two ways is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sympy
from sympy import Abs, I, Integer, Rational, Symbol, oo, pi

from themis_plugin_math.tokens import Token, Unreadable

__all__ = ["DEGREE", "read_expression"]

DEGREE: Final = Symbol("°", positive=True)
"""The degree, kept apart until values are compared."""

_FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "sinh": sympy.sinh, "cosh": sympy.cosh,
    "tanh": sympy.tanh, "ln": sympy.log, "exp": sympy.exp, "abs": Abs,
}  # fmt: skip
_INVERSE: Final = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_CONSTANTS: Final = {"pi": pi, "infty": oo, "inf": oo, "infinity": oo}
_BRACKETS: Final = {"(": ")", "[": "]", "{": "}", "floor(": ")floor", "ceil(": ")ceil"}
_STARTS: Final = frozenset({"number", "letter", "name", "(", "[", "{", "floor(", "ceil("})


def read_expression(tokens: list[Token], *, percent: Any) -> Any:
    """Return the sympy expression; `percent` is what the sign stands for. Raises Unreadable."""
    reader = _Reader(tokens, percent)
    value = reader.sum()
    if reader.kind:
        raise Unreadable(f"not expected here: {reader.here.text!r}")
    return value


class _Reader:
    def __init__(self, tokens: list[Token], percent: Any) -> None:
        self._tokens = [*tokens, Token("", "")]
        self._at = 0
        self._percent = percent
        self._in_bars = False

    @property
    def here(self) -> Token:
        return self._tokens[self._at]

    @property
    def kind(self) -> str:
        return self.here.kind

    def _next(self) -> Token:
        token = self.here
        if not token.kind:
            raise Unreadable("it ends too early")
        self._at += 1
        return token

    def _take(self, kind: str) -> bool:
        if self.kind == kind:
            self._at += 1
            return True
        return False

    def _need(self, kind: str) -> None:
        if not self._take(kind):
            raise Unreadable(f"{kind!r} is missing before {self.here.text!r}")

    def sum(self) -> Any:
        """Terms with signs between them."""
        sign = -1 if self.kind == "-" else 1
        if self.kind in ("-", "+"):
            self._at += 1
        value = sign * self._product()
        while self.kind in ("+", "-"):
            sign = 1 if self._next().kind == "+" else -1
            value = value + sign * self._product()
        return value

    def _product(self) -> Any:
        value = self._mixed() or self._power()
        divided = False
        while True:
            if self.kind in ("*", "/"):
                divided = self._next().kind == "/"
                factor = -self._power() if self._take("-") else self._power()
                value = value / factor if divided else value * factor
            elif self._starts():
                if divided:
                    raise Unreadable("what a slash divides by is not told: write brackets")
                if self.kind == "number":
                    raise Unreadable(f"a number without an operator before it: {self.here.text!r}")
                value = value * self._power()
            else:
                return value

    def _starts(self) -> bool:
        if self.kind == "name" and self.here.text in ("circ", "degree"):
            return False
        return self.kind in _STARTS or (self.kind == "|" and not self._in_bars)

    def _mixed(self) -> Any:
        """A mixed number, `1 3/4` or `1\\frac{3}{4}`; None if there is none."""
        if self.kind != "number" or not self.here.text.isdigit():
            return None
        kinds = [token.kind for token in self._tokens[self._at : self._at + 4]]
        if kinds == ["number", "number", "/", "number"]:
            whole, above, _, below = (self._next().text for _ in range(4))
        elif kinds[1:2] == ["name"] and self._tokens[self._at + 1].text == "frac":
            start, whole = self._at, self._next().text
            self._next()
            above, below = self._digits(), self._digits()
            if not (above and below):
                self._at = start
                return None
        else:
            return None
        if not (above.isdigit() and below.isdigit() and 0 < int(above) < int(below)):
            raise Unreadable("neither a mixed number nor a product")
        return Integer(whole) + Rational(int(above), int(below))

    def _digits(self) -> str:
        """The digits of an argument that is an integer; none for any other, which is passed over."""
        if self.kind == "{" and self._tokens[self._at + 1].kind == "number" and self._tokens[self._at + 2].kind == "}":
            self._at += 3
            text = self._tokens[self._at - 2].text
            return text if text.isdigit() else ""
        value = self._argument()
        return str(value) if value.is_Integer and value >= 0 else ""

    def _argument(self) -> Any:
        """The argument of a command: a group in braces, or the next sign alone, such as the 1 and 2 of `\\frac12`."""
        if self._take("{"):
            return self._until("}")
        token = self.here
        if token.kind == "number" and token.text.isdigit():
            self._tokens[self._at : self._at + 1] = [Token("number", digit) for digit in token.text]
            return Integer(self._next().text)
        if token.kind == "number":
            raise Unreadable("the argument of a command is not told: write braces")
        return self._atom()

    def _until(self, close: str) -> Any:
        bars, self._in_bars = self._in_bars, False
        value = self.sum()
        self._need(close)
        self._in_bars = bars
        return value

    def _power(self) -> Any:
        value = self._atom()
        while self.kind in ("^", "!", "%"):
            sign = self._next().kind
            if sign == "%":
                value = value * self._percent
            elif sign == "!":
                if self.kind == "!":
                    raise Unreadable("two signs of factorials")
                value = sympy.factorial(value)
            elif self._is_degree():
                value = value * DEGREE
            else:
                return self._after_power(_power(value, self._exponent()))
        return value

    def _after_power(self, value: Any) -> Any:
        if self.kind in ("!", "^"):
            raise Unreadable("what stands after an exponent can be read in two ways")
        return value * self._percent if self._take("%") else value

    def _is_degree(self) -> bool:
        at = self._at + (self.kind == "{")
        token = self._tokens[at]
        if token.kind != "name" or token.text not in ("circ", "degree"):
            return False
        self._at = at + 1
        if at > 0 and self._tokens[at - 1].kind == "{":
            self._need("}")
        return True

    def _exponent(self) -> Any:
        if self._take("{"):
            return self._until("}")
        sign = -1 if self._take("-") else 1
        value = self._atom()
        return sign * (_power(value, self._exponent()) if self._take("^") else value)

    def _atom(self) -> Any:
        token = self._next()
        if token.kind == "number":
            return Rational(token.text)
        if token.kind == "letter":
            return self._symbol(token.text)
        if token.kind in _BRACKETS:
            value = self._until(_BRACKETS[token.kind])
            return {"floor(": sympy.floor, "ceil(": sympy.ceiling}.get(token.kind, lambda inner: inner)(value)
        if token.kind == "|" and not self._in_bars:
            self._in_bars = True
            value = self.sum()
            self._need("|")
            self._in_bars = False
            return Abs(value)
        if token.kind == "name":
            return self._named(token.text)
        raise Unreadable(f"not expected here: {token.text!r}")

    def _symbol(self, letter: str) -> Any:
        if not self._take("_"):
            return {"e": sympy.E, "i": I}.get(letter) or Symbol(letter)
        if not self._take("{"):
            return Symbol(f"{letter}_{self._next().text}")
        index = ""
        while self.kind != "}":
            index += self._next().text
        self._need("}")
        return Symbol(f"{letter}_{index}")

    def _named(self, name: str) -> Any:
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name == "frac":
            return self._argument() / self._argument()
        if name == "binom":
            return sympy.binomial(self._argument(), self._argument())
        if name == "sqrt":
            index = self._until("]") if self._take("[") else Integer(2)
            return _power(self._argument() if self.kind != "(" else self._atom(), 1 / index)
        if name in _FUNCTIONS or name == "log":
            return self._function(name)
        raise Unreadable(f"not expected here: {name!r}")

    def _function(self, name: str) -> Any:
        base = Integer(10)
        if name == "log" and self._take("_"):
            base = self._argument()
        exponent = self._exponent() if self._take("^") else Integer(1)
        if exponent == -1:
            if name not in _INVERSE:
                raise Unreadable(f"neither an inverse nor a power: {name}")
            name, exponent = _INVERSE[name], Integer(1)
        argument = self._applied()
        value = sympy.log(argument, base) if name == "log" else _FUNCTIONS[name](_radians(argument))
        return value**exponent

    def _applied(self) -> Any:
        """What a function is applied to: a bracket, or all factors up to the next operator or function."""
        if self.kind in ("(", "[", "{", "|"):
            return self._atom()
        if not self._starts():
            raise Unreadable("a function of nothing")
        value = self._mixed() or self._power()
        while self.kind == "letter" or (self.kind == "name" and self.here.text in ("pi", "frac", "sqrt")):
            value = value * self._power()
        return value


def _radians(value: Any) -> Any:
    return value.subs(DEGREE, pi / 180)


def _power(base: Any, exponent: Any) -> Any:
    """Power, with the real root where the exponent's denominator is odd, as in schools: the cube root of -8 is -2."""
    if exponent.is_Rational and exponent.q % 2 and exponent.q > 1 and not base.has(I) and not base.is_nonnegative:
        return (sympy.sign(base) * Abs(base) ** Rational(1, exponent.q)) ** exponent.p
    return base**exponent
