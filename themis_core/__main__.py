"""The command `themis`, and `python -m themis_core`.

Before the command can handle signals its modules are imported. A signal in that time ends the process at once: nothing
was begun, and a traceback of imports says nothing to anybody.
"""

from __future__ import annotations

from themis_core.interrupts import leave_at_once

__all__ = ["main"]


def main() -> None:
    """Run the command and exit."""
    leave_at_once()
    from themis_core.cli import main as command

    command()


if __name__ == "__main__":
    main()
