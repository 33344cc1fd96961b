"""What an exception of a program or of its tests says. Programs can get at these functions, so nothing here judges."""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Final

__all__ = ["MOST_TEXT", "Verdict", "told", "verdict_of"]

MOST_TEXT: Final = 300
"""Characters of an exception and of a line that are kept."""
Verdict = tuple[str, str, str]
"""Outcome (passed, failed, refused, timeout or error), error and line; empty where there is none."""
_REFUSED: Final = frozenset(
    {
        errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE,
        errno.ENOMEM, errno.EAGAIN, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENOSYS,
    }
)  # fmt: skip
"""What a limit says to a program that meets it."""


def verdict_of(error: BaseException, name: str, text: str) -> Verdict:
    """The verdict that an exception comes to, and the last line of `text` that it passed through."""
    return "refused" if _is_refusal(error) else "failed", told(error), _line(error.__traceback__, name, text)


def told(error: BaseException) -> str:
    """Class and message of an exception, of which `str` may be the program's own code."""
    try:
        text = str(error)[:MOST_TEXT]
    except BaseException:  # noqa: BLE001
        text = ""
    return f"{type(error).__name__[:MOST_TEXT]}: {text}" if text else type(error).__name__[:MOST_TEXT]


def _is_refusal(error: BaseException | None) -> bool:
    for _ in range(10):
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _REFUSED):
            return True
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            return True
        if error is None:
            return False
        error = error.__cause__ or error.__context__
    return False


def _line(traceback: TracebackType | None, name: str, text: str) -> str:
    number = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == f"<{name}>":
            number = traceback.tb_lineno
        traceback = traceback.tb_next
    lines = text.splitlines()
    return lines[number - 1].strip()[:MOST_TEXT] if 0 < number <= len(lines) else ""
