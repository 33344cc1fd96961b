"""What of a result decides whether it passes, in words: its gates.

A gate is a threshold of the spec, or a finding of one of its conclusions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from themis_core.results.summary import RunResult

__all__ = ["Gate", "gates_of"]

_ROW = ("slice_id", "model_id", "prompt_variant_id", "params", "score", "metric")
_JUDGEMENT = ("met", "judged", "why", "rows", "worst", "missed", "unjudged")


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate, in words; its texts are not made safe for a terminal."""

    name: str
    """The bound as the spec has it, such as `score accuracy, minimum 0.9`; or the finding."""
    state: Literal["met", "missed", "not judged", "said"]
    """`not judged` is not met; `said` is a finding that judges nothing."""
    compared: str = ""
    """The number that was compared; of several, the one nearest to the bound. Empty if there is none."""
    lines: tuple[str, ...] = ()
    """What misses it, or why it can't be judged: a line for each row. Of a finding, what else it says."""

    key: str = ""
    """The same in every run of a spec, and of no other gate of it: the bound, or the conclusion that found it."""

    @property
    def failed(self) -> bool:
        """Whether it is not met."""
        return self.state in ("missed", "not judged")


def gates_of(result: RunResult | Mapping[str, Any]) -> list[Gate]:
    """The gates of a result, or of what its `to_dict` gave: the thresholds in the order of the spec, then findings."""
    plain: Mapping[str, Any] = result if isinstance(result, Mapping) else result.to_dict()
    gates = [*map(_of_threshold, plain["thresholds"]), *_of_findings(plain.get("conclusions") or ())]
    seen: Counter[str] = Counter()
    for place, gate in enumerate(gates):
        seen[gate.key] += 1
        if seen[gate.key] > 1:
            gates[place] = replace(gate, key=f"{gate.key} ({seen[gate.key]})")
    return gates


def _of_threshold(threshold: Mapping[str, Any]) -> Gate:
    told = {name: value for name, value in threshold.items() if name not in _JUDGEMENT}
    if told["measure"] == "value":
        del told["measure"]
    name = ", ".join(f"{key} {_told(value)}" for key, value in told.items())
    lines = tuple(_line(row) for row in (*threshold["missed"], *threshold["unjudged"]))
    if threshold["why"] and not lines:
        lines = (threshold["why"],)
    state: Any = "met" if threshold["met"] else "missed" if threshold["missed"] else "not judged"
    return Gate(name, state, _compared(threshold), lines, name)


def _compared(threshold: Mapping[str, Any]) -> str:
    if threshold["worst"] is None:
        return ""
    return f"{_number(threshold['worst']['value'])}{' at worst' if threshold['rows'] > 1 else ''}"


def _line(row: Mapping[str, Any]) -> str:
    shown = [str(row[name]) for name in _ROW if name in row and (name, row[name]) != ("params", "default")]
    if row.get("aggregate"):
        shown = [row["aggregate"], *(str(label) for label in row["group"].values() if label not in (None, "default"))]
    names = " · ".join(dict.fromkeys(shown)) or "all"  # outputs of items are `recorded` by model, prompt and params
    return f"{names}: {row['why'] if 'why' in row else _number(row['value'])}"


def _of_findings(findings: Sequence[Mapping[str, Any]]) -> Iterator[Gate]:
    for each in findings:
        first, *rest = each["text"].splitlines() or [""]
        by = f"{each['conclusion']}: " if each.get("conclusion") else ""
        state: Any = {True: "met", False: "missed", None: "said"}[each["met"]]
        why = each.get("warning")  # a conclusion that failed
        state = "not judged" if why and state == "missed" else state
        lines = tuple(line.strip() for line in (*rest, *([str(why)] if why else ())))
        yield Gate(f"{by}{first}", state, lines=lines, key=each.get("conclusion") or "finding")


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={each}" for name, each in value.items())
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:.6g}"
