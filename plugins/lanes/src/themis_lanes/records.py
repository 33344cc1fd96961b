"""When other people's code is called no longer, since its calls don't come back."""

from __future__ import annotations

from dataclasses import dataclass

from themis_lanes.errors import Crashed, Overdue

__all__ = ["Record"]

LEFT_BEHIND = 3
"""Calls of a component in a row that may be left behind, each with a thread."""
LEFT_IN_ALL = 16
IN_A_ROW = 10
"""Calls of a component in a row that may be overdue, or end their process."""


@dataclass(slots=True)
class Record:
    """How the calls of a component end that don't come back."""

    left_in_all: int = 0
    left_in_a_row: int = 0
    in_a_row: int = 0

    def add(self, error: Overdue | Crashed, *, in_parts: bool = False) -> None:
        """Count a call. One that is made again `in_parts` is at fault in one of them, which is counted then."""
        left = isinstance(error, Overdue) and error.left_behind
        self.left_in_all += left
        self.left_in_a_row += left
        if "not ready" in str(error):
            self.in_a_row += IN_A_ROW // 2  # each takes as long as a start may
        elif not in_parts:
            self.in_a_row += 1

    def came_back(self) -> None:
        self.left_in_a_row = self.in_a_row = 0

    def why_given_up(self) -> str:
        """Empty if it is not."""
        if self.left_in_a_row >= LEFT_BEHIND or self.left_in_all >= LEFT_IN_ALL:
            calls = "1 call was" if self.left_in_all == 1 else f"{self.left_in_all} calls were"
            return f"{calls} left behind, as they can't be ended in a thread"
        if self.in_a_row >= IN_A_ROW:
            return "call after call took too long or ended its process"
        return ""
