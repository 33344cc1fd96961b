"""A result that asserts on itself, with the ledger in its messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from themis_core import ResultRow, RunResult, ThemisError, counted, gates_of, run
from themis_output import safe

if TYPE_CHECKING:
    from themis_core import BenchmarkSpec, Gate, ProjectSpec

__all__ = ["CheckedRun", "run_checked"]

_NAMES = ("slice_id", "model_id", "prompt_variant_id", "params", "score", "metric")
_SIGNS = {"met": "met", "missed": "NOT MET", "not judged": "NOT JUDGED, so not met", "said": "said"}


@dataclass(frozen=True, slots=True, repr=False)
class CheckedRun(RunResult):
    """A `RunResult` for a test. What it asserts fails the test with the numbers and their ledger."""

    def assert_thresholds(self) -> None:
        """Fail unless the run is whole and all thresholds of the spec are met; a spec without any fails too."""
        __tracebackhide__ = True
        gates = [gate for gate in gates_of(self) if gate.state != "said"]
        failed = [gate for gate in gates if gate.failed]
        if not gates:
            self._fail("the spec has no thresholds: there is nothing to assert")
        if self.exit_code not in (0, 1):
            self._fail(f"the run is not whole (exit code {self.exit_code}): {self.note or self.status}")
        if failed:
            self._fail(f"{len(failed)} of {counted(len(gates), 'threshold')} not met")
        if self.exit_code:
            self._fail(f"exit code {self.exit_code}")

    def row(self, score: str | None = None, **names: str) -> ResultRow:
        """The one row of the scores that has this score, and these `metric`, `slice_id`, `model_id`, … .

        Fails the test if there is none, or more than one.
        """
        __tracebackhide__ = True
        wanted = {"score": score, **names} if score is not None else names
        if unknown := wanted.keys() - _NAMES:
            raise TypeError(f"row() knows {', '.join(_NAMES)}, and not {', '.join(sorted(unknown))}")
        found = [row for row in self.scores if all(getattr(row, name) == value for name, value in wanted.items())]
        if len(found) != 1:
            told = ", ".join(f"{name} {value}" for name, value in wanted.items()) or "no name"
            self._fail(f"{counted(len(found), 'row')} of the scores have {told}: name one")
        return found[0]

    def told(self) -> str:
        """The scores, how the trials ended, and the thresholds, as text that is safe for a terminal."""
        return safe("\n".join([self.table(), *self._ledger()]))

    def _ledger(self) -> list[str]:
        ends = ", ".join(f"{count} {name}" for name, count in self.ledger.items() if isinstance(count, int) and count)
        gates = [line for gate in gates_of(self) for line in _told(gate)]
        return [f"{self.run_id}: {self.status}; {ends}", *self.warnings, *gates, *([self.note] if self.note else [])]

    def __repr__(self) -> str:
        return f"<run {self.run_id}: {self.status}, exit code {self.exit_code}, {counted(len(self.scores), 'score')}>"

    def _fail(self, why: str) -> None:
        __tracebackhide__ = True
        pytest.fail(safe("\n".join([why, *self._ledger()])))


def _told(gate: Gate) -> list[str]:
    compared = f": {gate.compared}" if gate.compared and not gate.failed else ""
    return [f"{_SIGNS[gate.state]}: {gate.name}{compared}", *(f"    {line}" for line in gate.lines)]


def run_checked(
    spec: Path | BenchmarkSpec,
    project: Path | ProjectSpec | None,
    overrides: Sequence[str],
    limit: int | None,
    models: Sequence[str],
    base_dir: Path,
) -> CheckedRun:
    """Run a spec; raises what `themis_core.run` does, without what only its authors read in a traceback."""
    __tracebackhide__ = True
    try:
        result = run(spec, project=project, overrides=overrides, limit=limit, models=models, base_dir=base_dir)
    except ThemisError as error:
        raise error.with_traceback(None) from None
    return CheckedRun(**{each.name: getattr(result, each.name) for each in fields(result)})
