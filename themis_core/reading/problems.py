"""Turns what pydantic says of a bad config into errors that name file, line and place in the spec.

It finds no mistakes itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from themis_core.errors import SpecError
from themis_core.reading.places import Place
from themis_core.specs import Spec
from themis_core.wording.guessing import did_you_mean
from themis_core.wording.validation import in_words
from themis_documents import Loc
from themis_secrets import looks_like_a_key

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["spec_error"]


def spec_error(error: ValidationError, model: type[BaseModel], data: Any, place: Place) -> SpecError:
    """Make one SpecError of all that pydantic found wrong in `data`, each further mistake on a line of its own."""
    details = error.errors(include_url=False)
    found = [_one(detail, model, data, place) for detail in details]
    first, rest = found[0], found[1:]
    if rest:
        message = "\n".join([first.message, *dict.fromkeys(str(each) for each in rest)])
        return SpecError(message, path=first.path, line=first.line, loc=first.loc)
    return first


def _one(detail: ErrorDetails, model: type[BaseModel], data: Any, place: Place) -> SpecError:
    context = detail.get("ctx", {})
    loc = _written(detail["loc"], data)
    message = in_words(detail)
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        known = _known_keys(model, loc[:-1])
        otherwise = f" Known: {', '.join(known)}." if known else ""
        message = f"unknown key {_brief(key)}.{did_you_mean(key, known, otherwise)}"
    elif detail["type"] == "missing":
        return place.at(*loc).error(f"the key {detail['loc'][-1]!r} is missing")
    elif detail["type"] not in ("value_error", "spec") and not _may_be_secret(model, (*place.loc, *loc)):
        message += f" (found: {_brief(detail['input'])})"
    return place.at(*loc, *context.get("at", ())).error(message)


def _written(loc: Sequence[str | int], data: Any) -> Loc:
    """The steps that the user wrote: pydantic adds some, such as which branch of a union it tried."""
    steps: list[str | int] = []
    for step in loc:
        in_list = isinstance(data, list | tuple) and isinstance(step, int) and step < len(data)
        if in_list or (isinstance(data, Mapping) and step in data):
            data = data[step]
            steps.append(step)
    return tuple(steps)


_SECRET_PLACES = frozenset({"extra_body", "extras", "headers", "storage"})
"""Keys beneath which people write keys, passwords and addresses that hold them, though they should not."""


def _may_be_secret(model: type[BaseModel], loc: Loc) -> bool:
    """Whether what was found at a place is not to be repeated; a component says that of all of its config."""
    is_component = not issubclass(model, Spec) and bool(model.model_config.get("hide_input_in_errors"))
    return is_component or not _SECRET_PLACES.isdisjoint(loc)


def _brief(value: Any) -> str:
    if isinstance(value, str) and looks_like_a_key(value):
        return "not shown, as it looks like a key"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
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
