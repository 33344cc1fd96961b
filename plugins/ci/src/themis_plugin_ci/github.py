"""A result as GitHub's annotations: lines that its runner reads from what a step prints.

Text of models and servers is escaped, so it can be no command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from themis_output import safe
from themis_plugin_ci.telling import Told, told_of

if TYPE_CHECKING:
    from themis_core import RunResult

__all__ = ["as_annotations"]

MOST = 10
"""GitHub shows as many errors and as many warnings of a step."""
LONGEST = 2_000
"""Characters of one annotation."""


def as_annotations(result: RunResult | Mapping[str, Any]) -> str:
    """One line per annotation, the verdict first; `result` may be what `RunResult.to_dict` gave."""
    told = told_of(result)
    errors = list(_errors(told))
    errors[MOST:] = []
    lines = errors or [_line("notice", told.result["run_id"], told.verdict)]
    warnings = [_line("warning", told.result["run_id"], each) for each in told.result["warnings"]]
    return "\n".join([*lines, *warnings[:MOST]]) + "\n"


def _errors(told: Told) -> Iterator[str]:
    if told.passed:
        return
    yield _line("error", f"{told.result['run_id']}: {told.verdict}", told.ledger)
    for gate in told.gates:
        if gate.failed:
            why = [f"compared: {gate.compared}"] if gate.compared and not gate.lines else gate.lines
            yield _line("error", f"{gate.state}: {gate.key}", "\n".join([gate.name, *why]))


def _line(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return safe(cut.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
