"""What all components have in common: a frozen config, a version, an identity."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict

__all__ = ["CONTRACT_VERSION", "Component", "Lane"]

CONTRACT_VERSION: Final = 1
"""Version of the contract between core and plugins; a plugin states the one it was written for."""

Lane = Literal["inline", "thread", "process"]
"""Where calls of extractors, metrics and judges are made."""


class Component(BaseModel, ABC):
    """Base of all components: a frozen config with a version.

    Raise `version` when the same input may give another output. Fields named in `not_identity` can't change an
    answer (timeouts, key variables) and stay out of all keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    version: ClassVar[int] = 1
    """Raised when the same input may give another output; part of every key."""
    not_identity: ClassVar[frozenset[str]] = frozenset()
    """Fields that can't change an output, and so stay out of every key."""
    runs_in: ClassVar[Lane | None] = None
    """Where methods of an extractor, metric or judge are called during a run. A `process` of a bounded pool, which can
    be ended whatever the code does; the component, what it is handed and what it returns are pickled. A `thread`: for
    what waits, or holds what can't be pickled. `inline`, between the requests: for what takes far less than a
    millisecond, whatever the text is. None: a process if the component can be pickled, else a thread. An `async` method
    runs in the event loop."""
    at_once: ClassVar[int | None] = None
    """How many of its calls may run at the same time. None: as many as there are processes; one in threads, as more are
    for code that is safe there; 32 that are `async`. Of an engine: how many of its calls may be in flight at its
    endpoint; None: as many as the execution policy allows."""
    seconds_per_call: ClassVar[float | None] = None
    """Seconds that one call may take; None for `seconds_per_call` of the execution policy. May be a property."""

    def identity(self) -> dict[str, Any]:
        """The config that can change an output, as plain data."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(self.not_identity))

    def for_models(self, model_ids: Sequence[str]) -> Self:
        """Return the component as these models of the spec use it: itself, unless its config depends on them.

        An engine is told the model it answers for, as it is sent; a metric or judge the labels of its slice. Called
        before `check`, for a config such as a path with `{model_id}`. No I/O; what is returned is a copy or the
        component itself.
        """
        return self

    def check(self, base_dir: Path) -> None:
        """Look for what the component will need (files, environment variables) before anything is called.

        `base_dir` is the folder that relative paths start from. Called once per run, after the config was
        validated. Raise SpecError or ValueError with a message that says what to do. No network.
        """
