"""The process in which answers are read and compared: one JSON line in, one out, until standard input ends."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import IO, Any, Final

__all__ = ["main"]

MEMORY: Final = 2 << 30
"""Bytes of address space; what needs more is refused."""


def main() -> None:
    """Answer requests. Ends itself if a request takes much longer than it may, whatever became of the parent."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no reply
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard), hard))
    from themis_plugin_math.answers import answered  # sympy takes seconds, within the time for the start

    _say(replies, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, 2 * request["seconds"] + 1)
        reply = _reply(answered, request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(replies, reply)


def _reply(answered: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(answered(request))
    except MemoryError:
        return {"error": f"it needs more than {MEMORY >> 30} GiB of memory"}
    except Exception as error:  # noqa: BLE001 - the caller says it, with the score that it costs
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def _say(replies: IO[str], reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
