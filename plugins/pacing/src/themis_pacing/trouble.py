"""What a call that failed says of its service, as far as the calls after it are concerned."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Trouble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A failure of one call. `kind` is the same for what fails alike; `told` says what happened, for people."""

    kind: str
    told: str
    passes: bool = False
    """Whether the same call may succeed later."""
    refused: bool = False
    """It came too soon, so it was not tried."""
    retry_after: float | None = None
    """Seconds that the service itself asks to wait."""
    body: str | None = None
    """What the service said, where saying the same each time means that the call fails each time."""
    outage: bool = False
    """It counts towards giving the service a rest."""
    lasting: bool = False
    """No further call of the same subject would escape it."""
    absent: bool = False
    """A wrong address, or a service that does not run, shows itself so."""
    of_one_call: bool = False
    """It says nothing of the next call."""
    of_one_call_once_answered: bool = False
    """It says nothing of the next call if the same subject has answered one."""
