"""How a call ends that gives no result: it takes too long, its process ends, or it raises elsewhere."""

from __future__ import annotations

__all__ = ["Crashed", "GivenUp", "Overdue", "Raised"]


class Overdue(TimeoutError):
    """A call that was not done in its time."""

    def __init__(self, limit_s: float, *, left_behind: bool = False) -> None:
        super().__init__(limit_s)
        self.limit_s = limit_s
        self.left_behind = left_behind
        """Whether it goes on, in a thread that nobody waits for."""

    def __str__(self) -> str:
        after = "; it ignores that and was left behind" if self.left_behind else ""
        return f"not done within {self.limit_s:g} s{after}"


class Crashed(Exception):
    """The process of a call ended before the call did. The text says how: by an exit, a signal, or want of memory."""


class Raised(Exception):
    """What a call in another process raised."""

    def __init__(self, name: str, text: str, traceback: str = "") -> None:
        super().__init__(name, text, traceback)
        self.name = name
        """The name of the exception's type."""
        self.text = text
        self.traceback = traceback
        """As Python prints it in the other process; empty if there is none."""

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.text else self.name


class GivenUp(TimeoutError):
    """What did not come back call after call is not called any longer."""
