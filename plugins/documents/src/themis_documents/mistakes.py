"""What pydantic found wrong with a document: in plain words, where the user wrote it, and what would be known there.

The words are made by the code of the mistake, since those of pydantic may change any day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel

from themis_documents.plain import Loc

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["in_words", "known_keys", "written_loc"]

_TEXT, _WHOLE, _NUMBER, _TRUTH = "text", "a whole number", "a number", "true or false"
_MAPPING, _LIST = "a mapping", "a list"
_SHOULD_BE = {
    "string_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "a finite number",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "text of at least {min_length}",
    "string_too_long": "text of at most {max_length}",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
}


def in_words(detail: ErrorDetails) -> str:
    """One clause, such as `should be at least 1`.

    The words of a validator that raised ValueError, or a PydanticCustomError of the type `spec`, stay as they are.
    """
    if detail["type"] == "extra_forbidden":
        return "unknown key"
    wanted = _SHOULD_BE.get(detail["type"])
    if wanted is None:
        message = detail["msg"].removeprefix("Value error, ")
        return message if detail["type"] in ("value_error", "spec") else message[:1].lower() + message[1:]
    bounds = {name: int(each) if _is_whole(each) else each for name, each in detail.get("ctx", {}).items()}
    if detail["type"].startswith("string_"):
        bounds = {
            name: f"{each} character{'s' * (each != 1)}" for name, each in bounds.items() if isinstance(each, int)
        }
    return f"should be {wanted.format(**bounds)}"


def _is_whole(bound: object) -> bool:
    return isinstance(bound, float) and bound.is_integer()


def written_loc(loc: Sequence[str | int], data: Any) -> Loc:
    """The steps that the user wrote: pydantic adds some, such as which branch of a union it tried."""
    steps: list[str | int] = []
    for step in loc:
        in_list = isinstance(data, list | tuple) and isinstance(step, int) and step < len(data)
        if in_list or (isinstance(data, Mapping) and step in data):
            data = data[step]
            steps.append(step)
    return tuple(steps)


def known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that the model at `loc` inside `model` takes; none if there is no model."""
    current: Any = model
    for step in loc:
        if isinstance(step, int):
            continue
        inner = _model_in(current)
        if inner is None:
            return []
        by_name = {field.alias or name: field for name, field in inner.model_fields.items()}
        field = by_name.get(step)
        if field is None:
            return []
        current = field.annotation
    inner = _model_in(current)
    return [field.alias or name for name, field in inner.model_fields.items()] if inner else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, tuple, Union, UnionType) or hasattr(annotation, "__metadata__"):
        for each in get_args(annotation):
            if (found := _model_in(each)) is not None:
                return found
    return None
