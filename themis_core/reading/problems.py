"""Turns what pydantic says of a bad config into errors that name file, line and place in the spec.

It finds no mistakes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from themis_core.errors import SpecError
from themis_core.reading.places import Place
from themis_core.specs import Spec
from themis_documents import Loc
from themis_documents.mistakes import in_words, known_keys, written_loc
from themis_secrets import looks_like_a_key
from themis_wording import did_you_mean

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
    loc = written_loc(detail["loc"], data)
    message = in_words(detail)
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        known = known_keys(model, loc[:-1])
        otherwise = f" Known: {', '.join(known)}." if known else ""
        message = f"unknown key {_brief(key)}.{did_you_mean(key, known, otherwise)}"
    elif detail["type"] == "missing":
        return place.at(*loc).error(f"the key {detail['loc'][-1]!r} is missing")
    elif detail["type"] not in ("value_error", "spec") and not _may_be_secret(model, (*place.loc, *loc)):
        message += f" (found: {_brief(detail['input'])})"
    return place.at(*loc, *context.get("at", ())).error(message)


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
