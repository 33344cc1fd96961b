"""The steps by which an application came to its answer: tool calls, retrieved documents, answers of models within."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from themis_costs import Usage

__all__ = ["Step", "StepKind"]

StepKind = Literal["tool_call", "retrieval", "model", "message", "other"]
_NO_USAGE: Final = Usage()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done on the way to an answer."""

    kind: StepKind = "other"
    name: str = ""
    """Of the tool, the index, the model; at most 200 characters are kept."""
    input: Any = None
    """JSON-like."""
    output: Any = None
    """JSON-like; a retrieval's is usually a list of documents."""
    seconds: float | None = None
    """How long it took."""
    cost: float | None = None
    """In the currency of the prices, as a part of the generation's cost: it is added to nothing."""
    usage: Usage = _NO_USAGE
    """Of this step, as a part of the generation's usage."""
    error: str | None = None
    """What went wrong in it, for people; at most 4,000 characters are kept."""
    left_out: int = 0
    """Bytes of input and output that were too long to be kept; both are None then."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the kind, and the fields that don't have their default; `from_dict` reverses it."""
        data: dict[str, Any] = {"kind": self.kind}
        for name, default in _DEFAULTS:
            if (value := getattr(self, name)) != default:
                data[name] = value
        if self.usage != _NO_USAGE:
            data["usage"] = {each: count for each in _COUNTS if (count := getattr(self.usage, each)) is not None}
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Step:
        return cls(**{**data, "usage": Usage(**data.get("usage", {}))})


_COUNTS: Final = tuple(each.name for each in fields(Usage))
_DEFAULTS: Final[tuple[tuple[str, Any], ...]] = tuple(
    (each.name, each.default) for each in fields(Step) if each.name not in ("kind", "usage")
)
