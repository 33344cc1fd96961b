"""A result in words: whether it passes, and how its trials ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from themis_core import Gate, counted, gates_of
from themis_output import number

if TYPE_CHECKING:
    from themis_core import RunResult

__all__ = ["Told", "told_of"]

_ENDS = ("answered", "refused", "truncated", "empty", "absent", "failed", "unfinished")
_TROUBLE = {
    5: "trials failed, or nothing could be scored",
    6: "a budget or quota is used up",
    130: "the run was interrupted",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A result in words."""

    result: Mapping[str, Any]
    """As `RunResult.to_dict` gives it."""
    gates: tuple[Gate, ...]

    @property
    def trouble(self) -> str | None:
        """Why the run's numbers can't be relied on, whatever the gates say; None if it is whole."""
        code = self.result["exit_code"]
        return None if code in (0, 1) else self.result["note"] or _TROUBLE.get(code, f"exit code {code}")

    @property
    def passed(self) -> bool:
        return int(self.result["exit_code"]) == 0

    @property
    def verdict(self) -> str:
        """One sentence: trouble first, then how many gates are missed."""
        judged = [gate for gate in self.gates if gate.state != "said"]
        failed = sum(gate.failed for gate in judged)
        if self.trouble is not None:
            return f"the run is not whole: {self.trouble}"
        if failed:
            return f"{failed} of {counted(len(judged), 'gate')} not met"
        if not self.passed:
            return f"exit code {self.result['exit_code']}"
        return f"{counted(len(judged), 'gate')} met" if judged else "done; the spec has no gates"

    @property
    def ledger(self) -> str:
        """How the trials ended, and what the calls cost."""
        ends = [f"{count} {name}" for name in _ENDS if (count := self.result["ledger"].get(name))]
        told = f"{counted(self.result['trials'], 'trial')}: {', '.join(ends) or 'none finished'}"
        cost, unknown = self.result["cost"], self.result["unknown_cost_calls"]
        told += f"; cost {number(cost)}" if cost is not None else ""
        return told + (f"; the cost of {counted(unknown, 'call')} is unknown" if unknown else "")


def told_of(result: RunResult | Mapping[str, Any]) -> Told:
    """Put a result into words. `result` may be what `RunResult.to_dict` gave."""
    plain: Mapping[str, Any] = result if isinstance(result, Mapping) else result.to_dict()
    return Told(plain, tuple(gates_of(plain)))
