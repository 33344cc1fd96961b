"""Conclusions: what is said of a whole run, once it is over."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from themis_core.components.base import Component, Lane
from themis_core.records import Item

__all__ = ["Conclusion", "Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a conclusion found."""

    text: str
    """A sentence for people."""
    met: bool | None = None
    """Whether the run is as the spec wants it: false makes the command exit with 1. None if nothing was wanted."""
    details: dict[str, Any] = field(default_factory=dict)
    """What the sentence rests on, as plain data."""


class Conclusion(Component):
    """Says something of a run that is over, such as which of its models is better."""

    runs_in: ClassVar[Lane | None] = "thread"
    is_gate: ClassVar[bool] = False
    """True if the run counts as not met where nothing can be concluded. May be a property."""

    def check_spec(self, benchmark: Any) -> None:
        """Look for what the config names (models, scores) in the `BenchmarkSpec` that it is part of, before any call.

        Raise SpecError or ValueError with a message that says what there is.
        """

    def check_run(self, results: Any, items: Mapping[str, Iterable[Item]]) -> None:
        """Look for what the config names in what is stored and in the items of each slice, before any call.

        `results` is a `themis_core.Results`; None if nothing was ever stored. Raise SpecError or ValueError as above.
        """

    @abstractmethod
    def conclude(self, results: Any, run_id: str) -> Sequence[Finding]:
        """Return what there is to say of the run `run_id` of `results`, a `themis_core.Results`; make no call.

        Called once all trials have an outcome, after what they gave is stored, in a thread of its own, for no longer
        than `seconds_per_call`. An exception loses nothing: it becomes a warning that names the component.
        """
