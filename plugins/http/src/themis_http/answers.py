"""What a reply is made a generation with: how the answer ended, its outcome, what it was billed for. No I/O.

Text of a server's own making gets into no error message here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from themis_core import WARNING, EngineError, Usage
from themis_http.endings import BROKEN_OFF, Ending, ending_of

__all__ = ["billed", "ending_of_answer", "invalid", "names_of", "plain_objects", "status_of", "warning_of"]

TELLING: Final = frozenset(
    [
        "candidates",
        "choices",
        "content",
        "data",
        "delta",
        "function_call",
        "id",
        "index",
        "message",
        "object",
        "output",
        "outputs",
        "response",
        "responses",
        "result",
        "status",
        "task_id",
        "text",
    ]
)
"""Names by which an object of another shape is recognised; other names may be anything, a key included."""


def invalid(message: str) -> EngineError:
    """The failure of a reply of the wrong shape, which is not asked for again: it was made, and billed, on purpose."""
    return EngineError("invalid_reply", message, status=200)


def names_of(data: dict[str, Any]) -> str:
    """What an object of the wrong shape has, as far as its names are words of some protocol: a clause, or empty."""
    names = sorted(name for name in data if name in TELLING)
    return f"; it has: {', '.join(names)}" if names else ""


@contextmanager
def billed(data: Any, read_usage: Callable[[Any], Usage | None]) -> Iterator[None]:
    """Let an error over a reply say which tokens the reply was billed for."""
    try:
        yield
    except EngineError as error:
        error.usage = read_usage(data)
        error.unknown_outcome = error.usage is None and error.code != "invalid_reply"  # which may be billed anyhow
        raise


def ending_of_answer(reason: str | None) -> Ending:
    """How an answer ended. Raises EngineError if the server broke it off: half a sentence is no answer."""
    ending, word = ending_of(reason)
    if ending == "broken":
        message = f"the server broke the answer off (finish_reason {word})"
        raise EngineError(BROKEN_OFF[word], message, retryable=True, status=200)
    return ending


def status_of(
    text: str, ending: Ending, refusal: str | None = None, tool_calls: tuple[dict[str, Any], ...] = ()
) -> Literal["answered", "refused", "truncated", "empty"]:
    """The outcome of an answer that ended so."""
    if refusal or ending == "filtered":
        return "refused"
    if ending == "cut":
        return "truncated"
    return "answered" if tool_calls or text.strip() else "empty"


def warning_of(reason: str | None, ending: Ending, status: str) -> dict[str, str]:
    """What the run is to tell about an answer of which nobody said that it is whole."""
    if ending != "unknown" or status == "refused":
        return {}
    shown = "".join(each for each in reason or "" if each.isprintable())[:40]
    what = f"the finish_reason {shown!r} is not known" if reason else "the server gave no finish_reason"
    return {WARNING: f"{what}, so the answer counts as {status}, and may be cut or filtered"}


def plain_objects(value: Any, what: str) -> tuple[dict[str, Any], ...]:
    """A list of JSON objects, such as tool calls, that can be stored; nothing is none. `what` names it in the error."""
    if not value:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, dict) for each in value):
        raise invalid(f"{what} is not a list of objects")
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise invalid(f"{what} holds a number that is not finite, or is nested too deeply") from None
    return tuple(value)
