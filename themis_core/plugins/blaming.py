"""Whatever ends a component ends as its error: the one rule for every place where the core calls what is not its own.

    error ─┬─ from outside (Ctrl-C; who awaited it was cancelled) ─ goes on, nobody is to blame
           └─ the component's own, of whatever type ─ blamed: its score, its call, its observer, or the run

`sys.exit()` in a component ends it, and nothing else: an exit code of 0 must not come from code that left early.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from themis_core.errors import PluginError, SpecError, StorageError
from themis_interrupts import from_outside
from themis_lanes import Raised, in_time

__all__ = ["Errors", "blaming", "failure", "from_outside", "own_exit", "told"]

Errors = tuple[type[Exception], ...]
TEXT_S = 5.0
"""How long an exception may take to say what it is."""
_CORE = str(Path(__file__).parents[1])
_BETWEEN = ("importlib", "pluggy", "themis_interrupts", "themis_lanes", "themis_loose")


def told(error: BaseException) -> str:
    """What a component's exception says, for people; its `__str__` may be as broken as the rest of it."""
    try:
        if isinstance(error, Raised):
            return f"{error.name}: {error.text}"
        return f"{type(error).__name__}: {in_time('the text of an error', TEXT_S, str, error)}"
    except BaseException as wrong:
        if from_outside(wrong):
            raise
        return type(error).__name__


@contextmanager
def blaming(who: str, during: str, *, but: Errors = (SpecError, StorageError, PluginError)) -> Iterator[None]:
    """Turn what ends a component, without which the run can't go on, into a PluginError that names it.

    `during` is the method or the hook. The errors in `but` pass: those by default say what is wrong, and where.
    """
    try:
        yield
    except but:
        raise
    except BaseException as error:
        if from_outside(error):
            raise
        raise failure(who, during, error) from error


@contextmanager
def own_exit() -> Iterator[None]:
    """Keep the exit code of a command its own: a component's `sys.exit`, and its kind, become a PluginError.

    For the whole of a command, and also as its decorator. Exceptions pass.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if from_outside(error):
            raise
        raise failure("a component", "a call of this command", error) from error


def failure(who: str, during: str, error: BaseException) -> PluginError:
    """The PluginError that a component's exception becomes, with those lines of its traceback that are its own."""
    text = "".join(traceback.format_exception(type(error), error, _own_frames(error)))
    return PluginError(f"{who} failed at {during}: {told(error)}\n{text.rstrip()}")


def _own_frames(error: BaseException) -> Any:
    # The frames of Themis, its libraries and the import machinery before the plugin's own say nothing to its user.
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith((_CORE, "<frozen")) and not any(each in file for each in _BETWEEN):
            break
        frame = frame.tb_next
    return frame
