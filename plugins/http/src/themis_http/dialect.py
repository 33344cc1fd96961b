"""What has to be known of a provider's wire to understand its failures. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from themis_core import Usage

__all__ = ["Dialect", "error_of_body"]


def _no_usage(data: Any) -> Usage | None:
    return None


def _no_meaning(status: int, data: Any) -> tuple[str, bool] | None:
    return None


def _no_hint(url: str) -> str:
    return ""


def error_of_body(data: dict[str, Any]) -> Any:
    """The error that the body of a 200 is: one under `error`, one that is told to be one, or nothing but a message."""
    if data.get("error") or data.get("type") == "error" or data.get("object") == "error":
        return data
    said = (data.get(name) for name in ("message", "msg", "detail", "error_msg", "error_message", "errors"))
    return data if len(data) <= 3 and any(each and isinstance(each, str | list) for each in said) else None


class Dialect(NamedTuple):
    """What a provider says in its own way; what is left out is as most of them have it."""

    read_usage: Callable[[Any], Usage | None] = _no_usage
    """The token counts in a body, that of an error included; None if it has none."""
    error_within: Callable[[dict[str, Any]], Any] = error_of_body
    """What of the body of a 200 is an error, in the form of an error's body; None if it is an answer."""
    meaning: Callable[[int, Any], tuple[str, bool] | None] = _no_meaning
    """Of a status and an error's body (None if it is no JSON): the code, and whether to try again. None for the usual
    meaning."""
    path_hint: Callable[[str], str] = _no_hint
    """What may be wrong with the path of an address that was called and is not found, as a clause that begins with
    `; `; empty if it looks right."""
