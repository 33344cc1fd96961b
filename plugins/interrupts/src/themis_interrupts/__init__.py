"""The signals that ask a process to end, and how it ends in good order.

`themis_interrupts.event_loop` runs a coroutine to its end; it is not loaded from here, for asyncio is slow to import.
"""

from themis_interrupts.leaving import INTERRUPTED, exit_code, leave, listen_to_signals
from themis_interrupts.listening import (
    SIGNALS,
    Interrupted,
    from_outside,
    heard,
    in_good_order,
    leave_at_once,
    listen,
    listening,
)

__all__ = [
    "INTERRUPTED", "SIGNALS", "Interrupted", "exit_code", "from_outside", "heard", "in_good_order", "leave",
    "leave_at_once", "listen", "listen_to_signals", "listening",
]  # fmt: skip
