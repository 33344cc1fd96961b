"""What is known of a worker: that it is at work, or how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["RunningWorker", "WorkerEnd"]


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker ended."""

    exit_code: int | None
    """As a process of its own would have it; negative: minus the signal that killed it; None: it is not known."""
    message: str = ""
    """What it said of its end, or what is known of it, for people."""
    counts: Mapping[str, Any] = field(default_factory=dict)
    """What it did, in plain data, if it said so."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a line of JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> WorkerEnd:
        """The way back. Raises TypeError for what `to_dict` did not make."""
        kinds = {"exit_code": int | None, "message": str, "counts": Mapping}
        if not isinstance(data, Mapping) or not all(
            name in kinds and isinstance(value, kinds[name]) for name, value in data.items()
        ):
            raise TypeError(f"not the end of a worker: {data!r:.200}")
        return cls(**data)


class RunningWorker(ABC):
    """A worker that was started. All methods return soon, may be called at any time and from one thread, and again."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As whoever started it named it."""

    @abstractmethod
    def poll(self) -> WorkerEnd | None:
        """How it ended; None as long as it is at work, or about to be."""

    @abstractmethod
    def stop(self) -> None:
        """Ask it to end in good order: to begin nothing, and to save what is under way. Called once."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, with all that it started."""

    @abstractmethod
    def log_tail(self) -> str:
        """The end of what it wrote to standard error, some thousand characters; empty if there is none."""

    @property
    def note(self) -> str:
        """What it waits for before it can begin, for people; empty if for nothing."""
        return ""
