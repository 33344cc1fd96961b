"""What ends a program if this process is killed: a small shell that waits for a word, and acts when none comes."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Final

__all__ = ["Watcher"]

_SCRIPT: Final = """
trap '' HUP INT TERM
read -r word && exit
kill -s 0 -- "-$1" 2>/dev/null || exit
sleep "$2"
kill -s KILL -- "-$1"
"""
"""Its input ends without a word only when nobody is left who holds the other end of the pipe."""


class Watcher:
    """Watches over the processes of one group, from a session of its own, where no Ctrl-C reaches it."""

    def __init__(self, group: int, seconds: float) -> None:
        """`seconds`: how long they have to end by themselves, which they see by the end of their input. Raises
        OSError."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", str(group), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Tell it that the group has ended."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(b"over\n", timeout=1.0)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
