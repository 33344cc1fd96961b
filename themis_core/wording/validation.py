"""Says in Themis's own words what pydantic found wrong, by the code of the mistake: its words may change any day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from themis_core.wording import counted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["in_words"]

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
    """One clause, such as `should be at least 1`; the validator's own words where a validator of ours spoke."""
    if detail["type"] == "extra_forbidden":
        return "unknown key"
    wanted = _SHOULD_BE.get(detail["type"])
    if wanted is None:
        message = detail["msg"].removeprefix("Value error, ")
        return message if detail["type"] in ("value_error", "spec") else message[:1].lower() + message[1:]
    bounds = {name: int(each) if _is_whole(each) else each for name, each in detail.get("ctx", {}).items()}
    if detail["type"].startswith("string_"):
        bounds = {name: counted(each, "character") for name, each in bounds.items() if isinstance(each, int)}
    return f"should be {wanted.format(**bounds)}"


def _is_whole(bound: object) -> bool:
    return isinstance(bound, float) and bound.is_integer()
