"""Decides whether two values are equal: exactly, never by a rounded decimal, unless a tolerance is given.

Numbers are compared exactly if they are rational, else to more digits than either is written with. Expressions with
variables are compared so at eight fixed points, negative ones among them (Schwartz 1980, Zippel 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import sympy
from sympy import Float, Interval, Rational, S, pi

from themis_plugin_math.expressions import DEGREE
from themis_plugin_math.tokens import Unreadable
from themis_plugin_math.values import Bracketed, Listed, Matrix, Named, Related, Scalar, United, Value

__all__ = ["Comparison"]

_POINTS: Final = tuple(
    tuple(Rational(a * sign, b) for a, b, sign in row)
    for row in (
        ((7, 3, 1), (11, 5, 1), (13, 7, 1), (17, 4, 1), (19, 9, 1), (23, 8, 1)),
        ((2, 7, 1), (3, 11, 1), (5, 13, 1), (1, 9, 1), (4, 17, 1), (7, 19, 1)),
        ((5, 3, -1), (7, 2, 1), (9, 7, -1), (11, 6, 1), (13, 4, -1), (3, 8, 1)),
        ((2, 9, -1), (13, 5, -1), (3, 7, 1), (8, 3, -1), (1, 6, 1), (5, 4, -1)),
        ((29, 1, 1), (31, 1, 1), (37, 1, 1), (41, 1, 1), (43, 1, 1), (47, 1, 1)),
        ((3, 1, 1), (2, 1, -1), (5, 1, 1), (7, 1, -1), (4, 1, 1), (6, 1, -1)),
        ((4, 1, 1), (3, 1, 1), (2, 1, 1), (6, 1, 1), (5, 1, 1), (8, 1, 1)),
        ((1, 1000, 1), (1001, 1, -1), (1, 999, -1), (997, 2, 1), (1, 991, 1), (983, 3, -1)),
    )
)
_FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True)
class Comparison:
    """How values are compared: to how many digits at least, and how much numbers may differ."""

    digits: int
    tolerance: Any = S.Zero
    relative_tolerance: Any = S.Zero

    def equal(self, reference: Value, answer: Value) -> bool:
        """Whether an answer is the reference's value, set, relation or matrix."""
        if isinstance(reference, Named) and isinstance(answer, Named):
            return reference.name == answer.name and self.equal(reference.value, answer.value)
        if isinstance(answer, Named):
            return self.equal(reference, _equation(answer) if isinstance(reference, Related) else answer.value)
        if isinstance(reference, Named):
            return self.equal(_equation(reference) if isinstance(answer, Related) else reference.value, answer)
        if isinstance(reference, Scalar) and isinstance(answer, Scalar):
            return self._scalars(reference.expression, answer.expression)
        if isinstance(reference, Listed) and isinstance(answer, Listed):
            return self._lists(reference, answer)
        if isinstance(reference, Bracketed) and isinstance(answer, Bracketed):
            return reference.brackets == answer.brackets and self._each(reference.items, answer.items)
        if isinstance(reference, Matrix) and isinstance(answer, Matrix):
            return len(reference.rows) == len(answer.rows) and all(
                self._each(left, right) for left, right in zip(reference.rows, answer.rows, strict=True)
            )
        if isinstance(reference, Related) and isinstance(answer, Related) and self._relations(reference, answer):
            return True
        return self._sets(reference, answer)

    def _each(self, left: tuple[Value, ...], right: tuple[Value, ...]) -> bool:
        return len(left) == len(right) and all(map(self.equal, left, right))

    def _lists(self, reference: Listed, answer: Listed) -> bool:
        joins = {reference.join, answer.join}
        if any(isinstance(each, Related) for each in (*reference.items, *answer.items)) and len(joins) > 1:
            return self._sets(reference, answer)
        if not _same_names(reference.items, answer.items):
            return False
        if "set" in joins:
            return all(any(self.equal(each, other) for other in answer.items) for each in reference.items) and all(
                any(self.equal(other, each) for other in reference.items) for each in answer.items
            )
        left = list(answer.items)
        for each in reference.items:
            found = next((at for at, other in enumerate(left) if self.equal(each, other)), None)
            if found is None:
                return False
            left.pop(found)
        return not left

    def _scalars(self, reference: Any, answer: Any) -> bool:
        """Compare; a degree sign that only one side has was left out by the other, or stands for π/180."""
        if reference.has(DEGREE) != answer.has(DEGREE):
            bare = self._expressions(reference.subs(DEGREE, 1), answer.subs(DEGREE, 1))
            if bare:
                return True
        turned = DEGREE, pi / 180
        return self._expressions(reference.subs(*turned), answer.subs(*turned))

    def _expressions(self, reference: Any, answer: Any) -> bool:
        if reference == answer:
            return True
        names = sorted(reference.free_symbols | answer.free_symbols, key=str)
        if not names:
            return self._within(reference, answer) or self._numbers(reference, answer)
        compared = 0
        for point in _POINTS:
            at = {name: point[index % len(point)] + index // len(point) for index, name in enumerate(names)}
            left, right = reference.subs(at), answer.subs(at)
            if left.has(sympy.nan, sympy.zoo) or right.has(sympy.nan, sympy.zoo):
                continue
            if not self._numbers(left, right):
                return False
            compared += 1
        return compared > 2 or bool(sympy.simplify(reference - answer) == 0)

    def _numbers(self, reference: Any, answer: Any) -> bool:
        difference = reference - answer
        if difference == 0:
            return True
        if not (reference.is_finite is not False and answer.is_finite is not False):
            return bool(reference == answer)
        size = sympy.Max(*(abs(each.evalf(20)) for each in (reference, answer)))
        if difference.is_Rational:
            return False
        gap = abs(difference.evalf(20, maxn=4 * self.digits + 200))
        if not gap.is_number or gap.free_symbols or not size.is_Float:
            return bool(sympy.simplify(difference) == 0)
        return bool(gap <= size * Float(10) ** -self.digits)

    def _within(self, reference: Any, answer: Any) -> bool:
        if not (self.tolerance or self.relative_tolerance) or not reference.is_real:
            return False
        difference = reference - answer
        allowed = max(self.tolerance, abs(self.relative_tolerance * reference))
        return bool(difference.is_real and abs(difference) <= allowed)

    def _relations(self, reference: Related, answer: Related) -> bool:
        """Whether relations say the same of the same sides, up to a factor and the direction."""
        if len(reference.relations) != len(answer.relations):
            return False
        if self._steps(reference.sides, reference.relations, answer.sides, answer.relations):
            return True
        flipped = tuple(_FLIPPED.get(each, each) for each in reversed(answer.relations))
        return self._steps(reference.sides, reference.relations, answer.sides[::-1], flipped)

    def _steps(self, left: Any, relations: Any, right: Any, others: Any) -> bool:
        if relations != others:
            return False
        pairs = zip(pairwise(left), pairwise(right), relations, strict=True)
        return all(self._step(a - b, c - d, relation) for (a, b), (c, d), relation in pairs)

    def _step(self, left: Any, right: Any, relation: str) -> bool:
        if not left.free_symbols or left.free_symbols != right.free_symbols:
            return self._expressions(left, right) and bool(left.free_symbols)
        ratio = sympy.cancel(left / right)
        if ratio.free_symbols or ratio.has(sympy.nan, sympy.zoo) or ratio == 0:
            return False
        return bool(relation in ("=", "!=") or ratio.is_positive)

    def _sets(self, reference: Value, answer: Value) -> bool:
        """Whether two sets of numbers, of which one is written in another way, are the same set."""
        if isinstance(reference, Scalar) or isinstance(answer, Scalar):
            return False
        left, right = _as_set(reference), _as_set(answer)
        if left is None or right is None:
            return False
        return bool(left == right or (left.is_subset(right) and right.is_subset(left)))


def _equation(named: Named) -> Value:
    """`x = 3` as an equation, to be compared with another one such as `2x = 6`."""
    if not isinstance(named.value, Scalar) or "(" in named.name:
        return named.value
    return Related((sympy.Symbol(named.name), named.value.expression), ("=",))


def _same_names(reference: tuple[Value, ...], answer: tuple[Value, ...]) -> bool:
    """Whether values of several variables can be compared: not `x = 1, y = 2` with `2, 1`, which names none."""
    left, right = ({each.name for each in items if isinstance(each, Named)} for items in (reference, answer))
    return left == right or max(len(left), len(right)) < 2


def _as_set(value: Value) -> Any:
    """A value as a set of real numbers; None if it is none."""
    if isinstance(value, Named):
        return _as_set(value.value)
    if isinstance(value, Bracketed):
        return _interval(value)
    if isinstance(value, United):
        return _joined([_as_set(part) for part in value.parts], value.join)
    if isinstance(value, Related):
        return _solutions(value)
    if isinstance(value, Listed):
        if any(isinstance(item, Related) for item in value.items):
            join = {"or": "cup", "and": "cap"}.get(value.join)
            return join and _joined([_as_set(item) for item in value.items], join)
        numbers = [item.expression for item in value.items if isinstance(item, Scalar)]
        return sympy.FiniteSet(*numbers) if len(numbers) == len(value.items) else None
    return None


def _joined(parts: list[Any], join: str) -> Any:
    if any(part is None for part in parts):
        return None
    return (sympy.Union if join == "cup" else sympy.Intersection)(*parts)


def _interval(value: Bracketed) -> Any:
    ends = [item.expression for item in value.items if isinstance(item, Scalar)]
    if len(ends) != 2 or len(value.items) != 2 or not all(end.is_extended_real for end in ends):
        return None
    return Interval(*ends, left_open=value.brackets[0] == "(", right_open=value.brackets[1] == ")")


def _solutions(value: Related) -> Any:
    """The real numbers for which inequalities in one variable hold; None if they are none, or too hard."""
    names = set().union(*(side.free_symbols for side in value.sides))
    if len(names) != 1 or "=" in value.relations:
        return None
    (name,) = names
    real = sympy.Symbol("x", real=True)
    sides = [side.subs(name, real) for side in value.sides]
    classes = {"<": sympy.Lt, ">": sympy.Gt, "<=": sympy.Le, ">=": sympy.Ge, "!=": sympy.Ne}
    steps = [classes[each](*pair) for each, pair in zip(value.relations, pairwise(sides), strict=True)]
    try:
        return sympy.Intersection(*(step.as_set() for step in steps))
    except (NotImplementedError, AttributeError) as error:
        raise Unreadable("inequalities that can't be solved") from error
