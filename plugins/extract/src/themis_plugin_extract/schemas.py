"""JSON Schema validation in bounded time and without the network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

import referencing
import referencing.exceptions
import referencing.jsonschema
from jsonschema import exceptions, validators
from jsonschema.protocols import Validator

from themis_patterns import compile_pattern

__all__ = ["SchemaTimeout", "build_validator", "is_valid"]

_SECONDS: Final = 1.0
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_UNSUPPORTED: Final = {
    "patternProperties": dict,  # matched by `re`, without a bound on time
    "$dynamicRef": str,
    "$recursiveRef": str,
    "$schema": str,  # below the top it would bring back the class without bounds
    "$id": str,  # below the top it changes what "#" means
}
_deadline: ContextVar[float] = ContextVar("deadline")


class SchemaTimeout(Exception):
    """The patterns of the schema took too long on a value."""


def build_validator(schema: dict[str, Any]) -> Validator:
    """Build a validator, or raise ValueError that says what in the schema can't be used."""
    dialect = schema.get("$schema", _DIALECT)
    base = validators.validator_for({"$schema": str(dialect)}, default=None)  # type: ignore[arg-type]
    if base is None:
        raise ValueError(f"schema: unknown dialect {dialect!r}; leave $schema out for {_DIALECT}")
    try:
        base.check_schema(schema)
    except exceptions.SchemaError as error:
        raise ValueError(f"schema: {error.json_path}: {error.message}") from error
    bounded = validators.extend(base, {"pattern": _pattern, "uniqueItems": _unique_items})  # type: ignore[no-untyped-call]
    # Where a part of the schema names its dialect, jsonschema goes on with the unbounded class of that dialect.
    plain = {key: value for key, value in schema.items() if key != "$schema"}
    specification = referencing.jsonschema.specification_with(dialect)
    resource = specification.create_resource(plain)
    _check_parts(
        {key: value for key, value in plain.items() if key != "$id"},
        referencing.Registry().resolver_with_root(resource),
    )
    # An empty registry: the default one fetches what a $ref names.
    validator: Validator = bounded(plain, registry=referencing.Registry())
    return validator


def is_valid(validator: Validator, value: Any) -> bool:
    """Say whether the value fulfils the schema; SchemaTimeout after a second of this thread's CPU in patterns."""
    token = _deadline.set(time.thread_time() + _SECONDS)
    try:
        return validator.is_valid(value)
    finally:
        _deadline.reset(token)


def _check_parts(part: Any, resolver: Any) -> None:
    if isinstance(part, list):
        for each in part:
            _check_parts(each, resolver)
    elif isinstance(part, dict):
        _check_keywords(part, resolver)
        for each in part.values():
            _check_parts(each, resolver)


def _check_keywords(part: dict[str, Any], resolver: Any) -> None:
    reference, pattern = part.get("$ref"), part.get("pattern")
    if isinstance(reference, str):
        if not reference.startswith("#"):
            raise ValueError(f"schema: $ref {reference!r} leads out of the schema; copy what it names into $defs")
        try:
            resolver.lookup(reference)
        except referencing.exceptions.Unresolvable as error:
            raise ValueError(f"schema: $ref {reference!r} leads nowhere") from error
    if isinstance(pattern, str):
        compile_pattern(pattern)
    for keyword, kind in _UNSUPPORTED.items():
        if isinstance(part.get(keyword), kind):
            raise ValueError(f"schema: {keyword} is not supported here; take it out")


def _pattern(validator: Validator, pattern: str, instance: Any, schema: Any) -> Iterator[exceptions.ValidationError]:
    if not validator.is_type(instance, "string"):
        return
    left = _deadline.get() - time.thread_time()
    if left <= 0:
        raise SchemaTimeout
    try:
        match = compile_pattern(pattern).search(instance, seconds=left)
    except TimeoutError:
        raise SchemaTimeout from None
    if match is None:
        yield exceptions.ValidationError(f"{instance!r} does not match {pattern!r}")


def _unique_items(
    validator: Validator, unique: bool, instance: Any, schema: Any
) -> Iterator[exceptions.ValidationError]:
    # jsonschema compares each item with each where they can't be sorted: minutes for 60 kB.
    if unique and isinstance(instance, list) and len({_hashable(each) for each in instance}) < len(instance):
        yield exceptions.ValidationError("items are not unique")


def _hashable(value: Any) -> Any:
    """A value that is equal and hashes equal where JSON Schema calls two values equal: 1 is 1.0, but not true."""
    if isinstance(value, dict):
        return "object", frozenset((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_hashable, value))
    return isinstance(value, bool), value
