"""The Jinja2 environment of templates: what they can't reach, and how much they may do and make.

Jinja's own sandbox keeps a template from Python's internals and from changing data. This one also counts while a
template is rendered, so that a loop, a recursion or a multiplication ends as an error before it fills the memory.
Importing it imports Jinja2, so `template` does that late.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from functools import partial, wraps
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType
from typing import Any, Literal, NoReturn

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    nodes,
    pass_context,
)
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from themis_templates.bounds import TooMuch, check_arguments, check_operation, length_of, looped, made, meter
from themis_templates.conditions import slip

__all__ = ["Absent", "Sandbox"]

_MACRO_STEPS = 10
"""A macro that calls itself takes about as much time as so many rounds of a loop."""
_METHODS = (BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType)
_PRINTABLE = (str, int, float, type(None), list, tuple, dict, set, frozenset, Decimal, date, time_of_day, timedelta)


class Absent(UndefinedError):
    """A template used a name that is not there: among the variables, or in `owner`."""

    def __init__(self, message: str, name: str, owner: Any) -> None:
        super().__init__(message)
        self.name = name
        self.is_variable = owner is missing
        self.owner = owner


class _Undefined(StrictUndefined):
    __slots__ = ()

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = UndefinedError
    ) -> None:
        if exc is UndefinedError and isinstance(name, str) and hint is None:
            exc = partial(Absent, name=name, owner=obj)
        super().__init__(hint, obj, name, exc)


class Sandbox(ImmutableSandboxedEnvironment):
    """Data is text, undefined names are errors, and what a template does is bounded."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, line_end: Literal["\n", "\r\n", "\r"], insert: Callable[[Any], str] | None = None) -> None:
        # Not optimized: that would compute constants, however large, while a template is compiled.
        super().__init__(
            undefined=_Undefined,
            autoescape=False,
            keep_trailing_newline=True,
            newline_sequence=line_end,
            optimized=False,
            finalize=_finalized if insert is None else _inserted_by(insert),
        )
        del self.globals["lipsum"], self.filters["random"]  # no two renderings would be alike
        self.filters["tojson"] = _tojson
        # Under Jinja's names for the functions that take the names of filters and tests.
        for name, function in self.filters.items():
            self.filters[name] = _bounded(name, function)
        for name, function in self.tests.items():
            self.tests[name] = _counted_test(function)
        self.filters |= {_LOOPED: looped, _JOINED: _joined, _MADE: made}

    def template(self, text: str, source: nodes.Template | None = None) -> Template:
        """Compile a text, or what was parsed of it. Raises what Jinja or Python's own compiler raises for it."""
        return self.from_string(text if source is None else source, globals={_LITERAL: len(text)})

    def condition(self, text: str) -> nodes.Template:
        """Parse an expression: a template that gives `True` or `False`. Raises TemplateSyntaxError, also for a slip."""
        parser = Parser(self, text, state="variable")
        value = parser.parse_expression()
        if not parser.stream.eos:
            raise TemplateSyntaxError("there is more after the expression", parser.stream.current.lineno)
        if (wrong := slip(value)) is not None:
            raise TemplateSyntaxError(wrong, value.lineno)
        # No `if`: within one, Jinja would find a filter that is not there only when it gets to it.
        holds = nodes.Not(nodes.Not(value, lineno=1), lineno=1)
        source = nodes.Template([nodes.Output([holds], lineno=1)], lineno=1)
        source.set_environment(self)
        return source

    def reads(self, source: nodes.Template) -> dict[str, frozenset[str] | None]:
        """The names that nothing in a template defines, each with the fields that it names of it; None if it is read in
        another way than by fields that are named."""
        fields: dict[str, set[str]] = {}
        names: Counter[str] = Counter()
        by_field: Counter[str] = Counter()
        for node in source.find_all(nodes.Name):
            names[node.name] += 1
        for each in source.find_all((nodes.Getattr, nodes.Getitem)):
            if (field := _field(each)) is not None:
                by_field[field[0]] += 1
                fields.setdefault(field[0], set()).add(field[1])
        for call in source.find_all(nodes.Call):  # `item.values()` may be a method, which reads them all
            if (field := _field(call.node)) is not None:
                by_field[field[0]] -= 1
        undeclared = find_undeclared_variables(source) - self.globals.keys()
        return {name: frozenset(fields[name]) if names[name] == by_field[name] else None for name in sorted(undeclared)}

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A column may be called `items` or `values`: what the row holds goes before what Python's dict offers.
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return _method_or_value(super().getattr(obj, attribute), obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        value = super().getitem(obj, argument)
        return _method_or_value(value, obj, argument) if isinstance(argument, str) else value

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        count = meter()
        count.step(_MACRO_STEPS if isinstance(__obj, Macro) else 1)
        if isinstance(__obj, _Method):
            check_arguments(__obj.name, __obj.owner, args, kwargs)
            __obj = __obj.method
        elif isinstance(__obj, Macro):
            count.make(__self._literal_of(__context))
        elif isinstance(__obj, LoopContext) and args:
            args = (looped(args[0], __self._literal_of(__context)), *args[1:])
        return made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operation(operator, left, right)
        return made(super().call_binop(context, operator, left, right))

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Counting().visit(source), *args, **kwargs)

    @staticmethod
    def _literal_of(context: Context) -> int:
        """Characters of literal text that a call of a macro, or a round of a loop, may give at the most."""
        return int(context.parent.get(_LITERAL, 0))


_LITERAL = "themis literal"
"""In a template's globals: how many characters its source has."""
_LOOPED, _JOINED, _MADE = "themis looped", "themis joined", "themis made"
"""Filters that no template can name."""


class _Counting(NodeTransformer):
    """Puts the counting filters where a template loops, joins texts with `~`, or cuts a piece out."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        literal = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _LOOPED, nodes.Const(literal))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _JOINED)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        self.generic_visit(node)
        return _filtered(node, _MADE) if isinstance(node.arg, nodes.Slice) else node


def _field(node: nodes.Expr) -> tuple[str, str] | None:
    """The variable and the field that `item.field` or `item["field"]` name; None for all else."""
    if not isinstance(node, nodes.Getattr | nodes.Getitem) or not isinstance(node.node, nodes.Name):
        return None
    if isinstance(node, nodes.Getattr):
        return node.node.name, node.attr
    field = node.arg.value if isinstance(node.arg, nodes.Const) else None
    return (node.node.name, field) if isinstance(field, str) else None


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


class _Method:
    """A method that was named and not called: it can be called, and nothing else, least of all be printed."""

    def __init__(self, method: Callable[..., Any], owner: Any, name: str) -> None:
        self.method, self.owner, self.name = method, owner, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.method(*args, **kwargs)

    def _refuse(self, *_: Any) -> NoReturn:
        kind = type(self.owner).__name__
        hint = "; or a field of that name is missing" if kind == "dict" else ""
        raise TemplateRuntimeError(f"{self.name!r} is a method of a {kind}: call it, as in .{self.name}(){hint}")

    __str__ = __repr__ = __format__ = __bool__ = __eq__ = __ne__ = __hash__ = __len__ = __iter__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __getitem__ = _refuse


def _method_or_value(value: Any, owner: Any, name: str) -> Any:
    return _Method(value, owner, name) if isinstance(value, _METHODS) else value


# --- filters and tests --------------------------------------------------------------------------------------


def _joined(values: Sequence[Any]) -> str:
    """`a ~ b`."""
    for value in values:
        _check_printable(value)
    meter().make(sum(map(length_of, values)))
    return "".join(map(str, values))


@pass_context
def _finalized(context: Context, value: Any) -> Any:
    # It takes the context although it needs none: so Jinja calls it while rendering, and not while compiling.
    if type(value) is str:
        meter().make(len(value))
        return value
    _check_printable(value)
    meter().make(length_of(value))
    return value


def _inserted_by(insert: Callable[[Any], str]) -> Callable[..., Any]:
    @pass_context
    def finalized(context: Context, value: Any) -> Any:
        checked = _finalized(context, value)
        return checked if isinstance(checked, Undefined) else insert(checked)

    return finalized


def _check_printable(value: Any) -> None:
    if not isinstance(value, (*_PRINTABLE, Undefined, _Method)):
        raise TemplateRuntimeError(f"it prints a {type(value).__name__}, which is no text")


def _bounded(name: str, function: Any) -> Callable[..., Any]:
    """A filter that counts; it keeps the marks by which Jinja knows what to hand it."""
    leading = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        meter().step()
        if len(args) > leading:
            check_arguments(name, args[leading], args[leading + 1 :], kwargs)
        return made(function(*args, **kwargs))

    return counted


def _counted_test(function: Any) -> Callable[..., Any]:
    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        meter().step()
        return function(*args, **kwargs)

    return counted


def _tojson(value: Any, indent: int | None = None) -> str:
    """The value's own JSON: nothing is escaped for HTML, keys stay in order, letters stay letters."""
    if isinstance(indent, int) and indent > 100:
        raise TooMuch("tojson is given an indent greater than 100")
    meter().make(length_of(value))
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
