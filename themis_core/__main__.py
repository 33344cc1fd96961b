"""The command `themis`, and `python -m themis_core`.

Before the command can handle signals its modules are imported. A signal in that time ends the process at once: nothing
was begun, and a traceback of imports says nothing to anybody. So nothing but this is imported before.
"""

from __future__ import annotations

import os
import signal

__all__ = ["main"]


def main() -> None:
    """Run the command and exit."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # as `themis_interrupts.leave_at_once` does, later
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os._exit(128 + number))
    from themis_core.cli import main as command

    command()


if __name__ == "__main__":
    main()
