"""Standard error that ends no command: what it does not take is lost, and all else goes on.

A full disk behind `2> log`, or a component that closes the stream, would else make an error of every progress line.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any, Final, TextIO

__all__ = ["lasting_stderr"]

FULL_S: Final = 1.0
"""How long a reader that does not block may take to make room."""


class _Raw(RawIOBase):
    """A descriptor of its own, so that nothing else gets the text if the first one is closed and its number reused."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = os.dup(descriptor)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        with suppress(OSError, ValueError):
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    if not select.select([], [self._descriptor], [], FULL_S)[1]:
                        break
        return size


class _Stderr(TextIOWrapper):
    def close(self) -> None:
        """Stay open: it is for all that still has something to say."""
        self.flush()


def lasting_stderr(stream: TextIO) -> TextIO:
    """Return what writes to the same place as a stream and never raises; the stream itself if it has no descriptor."""
    try:
        raw = _Raw(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return stream
    return _Stderr(BufferedWriter(raw), encoding=stream.encoding, errors="backslashreplace", line_buffering=True)
