"""What the command says of an error that nobody foresaw: it exits with 70, and the traceback is in a file."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from pathlib import Path

from themis_secrets import without_secrets

__all__ = ["CANNOT_PRINT", "UNEXPECTED", "tell_unexpected"]

UNEXPECTED = 70
"""The exit code of an error that is a fault of Themis, or of a plugin that no error of its own names (EX_SOFTWARE)."""
CANNOT_PRINT = 74
"""The exit code where all is done, but could not be printed (EX_IOERR)."""


def tell_unexpected(error: BaseException) -> str:
    """Write the traceback to a file, and return what to tell the user: the error in a line, and where the file is."""
    brief = without_secrets("".join(traceback.format_exception_only(error)).strip())
    told = f"unexpected error: {brief.splitlines()[0][:500] if brief else type(error).__name__}"
    try:
        file = _written(without_secrets("".join(traceback.format_exception(error))))
    except Exception:  # noqa: BLE001 - a disk that is full, say, must not hide the error
        return f"{told}\nThe traceback could not be written to a file."
    return f"{told}\nThis is a fault in Themis or in a plugin. What was saved stays saved. The traceback is in {file}"


def _written(text: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    descriptor, name = tempfile.mkstemp(prefix=f"themis-{stamp}-", suffix=".txt")  # readable by its owner only
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return Path(name)
