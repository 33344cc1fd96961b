"""Engines: who answers requests, and what they can do."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from themis_core.components.base import Component
from themis_core.components.batching import BatchLimits, BatchState
from themis_core.errors import EngineError
from themis_core.records import Generation, Request, Ticket

__all__ = ["Capabilities", "Code", "Engine", "Needs"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do. A request that needs more is refused before it is sent."""

    seed: bool = False
    """Takes `seed`: samples get seeds of their own."""
    logprobs: bool = False
    n: bool = False
    tools: bool = False
    """Takes `tools`, and messages that hold calls of tools and what came of them."""
    images: bool = False
    audio: bool = False
    """Takes parts of type `input_audio`."""
    files: bool = False
    """Takes parts of type `file`, such as a PDF."""
    structured: bool = False
    """Takes `response_format`."""
    local: bool = False
    """Answers at once, on this machine, so its requests need no limits and no retries."""
    costs: bool = False
    """Says in `Generation.cost` what each call cost. A model without a price may then be bounded by `max_cost`: a call
    is taken to cost no more than the dearest before it."""
    batches: bool = False
    """Takes batches: has `submit`, `find`, `collect` and `cancel`."""


@dataclass(frozen=True, slots=True)
class Code:
    """The code behind an engine that calls somebody's application: a part of the generation keys."""

    path: str
    """Where it is, for people, such as `app.py:answer`."""
    content: str
    """What keys hold: the digest of its source, or a version that its author states."""
    files: Mapping[str, str]
    """The names of its files, and the SHA-256 of each, so that it can be said which changed."""
    keep: str
    """What to write so that a former content goes on to count, with `{content}` for that: a whole clause."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one started instance of an engine holds on its machine. Zero: nothing to speak of."""

    gpus: float = 0
    """May be a part of one, such as 0.25; more than one is a whole number."""
    cpus: float = 0
    """Cores that are busy while it answers."""
    memory_bytes: int = 0
    """Main memory, not that of a GPU."""

    def __post_init__(self) -> None:
        for name in ("gpus", "cpus", "memory_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} is {value!r:.80}, not a number")
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value!r}, not a number from 0 on")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus is {self.gpus!r}: more than one must be a whole number")
        if self.memory_bytes != int(self.memory_bytes):
            raise ValueError(f"memory_bytes is {self.memory_bytes!r}, not a whole number of bytes")

    def __bool__(self) -> bool:
        return bool(self.gpus or self.cpus or self.memory_bytes)

    def __add__(self, other: Needs) -> Needs:
        """What two instances on one machine hold. Parts of GPUs that come to more than one are rounded up."""
        gpus = round(self.gpus + other.gpus, 6)
        cpus = round(self.cpus + other.cpus, 6)
        return Needs(gpus if gpus <= 1 else math.ceil(gpus), cpus, self.memory_bytes + other.memory_bytes)


class Engine(Component):
    """Turns one request into one generation. Used from one event loop only."""

    capabilities: ClassVar[Capabilities] = Capabilities()
    batch_limits: ClassVar[BatchLimits] = BatchLimits()

    @property
    def endpoint(self) -> str:
        """What limits and the circuit breaker apply to: engines with an equal endpoint share them (a URL's origin).

        Shown in messages: no credentials.
        """
        return type(self).__name__

    @property
    def code(self) -> Code | None:
        """The code that answers, if that is not the engine's own but somebody's application; None for all others.

        Who edits it gets new answers, and the plan says so first, with their number. Read after `check`.
        """
        return None

    @property
    def item_fields(self) -> tuple[str, ...]:
        """What of each item the engine is handed, as `Request.item` and as part of the generation key.

        Names of fields; `metadata`; `reference`; `*` for all fields but the column of the reference. An item without
        one of them is an error in planning; a name with `?` at its end is handed over if the item has it. The reference
        is handed over only if it is named, and then the plan says so. Read after `check`.
        """
        return ()

    @property
    def reads_prompt(self) -> bool:
        """Whether requests carry messages. If not, a slice needs no prompt variant for the engine, and has the engine
        asked once for all variants that there are. Read after `check`."""
        return True

    @property
    def needs(self) -> Needs:
        """What one started instance holds: GPUs, cores, memory. Workers are placed by it; it changes no answer.

        A worker starts each engine of its run once, so it needs the sum. How many requests an instance takes at a time
        is `at_once`. Read after `check`, without any I/O.
        """
        return Needs()

    def check_params(self, params: dict[str, Any]) -> None:
        """Refuse settings that the engine doesn't take. Raise ValueError with a message that says what to do.

        Called in planning with each of the spec's settings, as `Request.params` will hold them, before anything is
        paid for. Here `extras` are refused: an engine that reads some says which by its own method.
        """
        if extras := params.get("extras"):
            raise ValueError(f"it takes no extras, so {', '.join(extras)} would change nothing")

    def check_request(self, request: Request) -> None:
        """Refuse a request that the engine can't send. Raise ValueError with a message that says what to do.

        Called in planning with the first request of each prompt and setting, for the first item of a slice, before
        anything is paid for. Only messages of text are tried so: of other parts, the data is not read yet.
        """

    def check_content(self) -> None:
        """Look through what `check` only took a digest of, such as the rows of a long file. Raise SpecError that names
        the place, or ValueError.

        Called in planning, once, before anything is paid for; not for a run that is complete, nor where another process
        of the run has done so. What is looked through must be part of the identity. No network.
        """

    async def start(self) -> None:
        """Open what requests need. Called once, in the run's event loop, before the first request.

        What it raises ends the run with an error, and so does the deadline `start_timeout_s` of the execution policy.
        """

    async def stop(self) -> None:
        """Close it. Called once after the last request, also after errors; an exception is logged.

        The deadline is `stop_timeout_s` of the execution policy.
        """

    @abstractmethod
    async def generate(self, request: Request) -> Generation:
        """Send the request once and return the answer; never retry.

        `status` is answered, refused, truncated (cut at a length limit) or empty, or absent if there is no answer and
        the config says that this is right; a failure raises EngineError with a stable code. Any other exception
        becomes a failed generation with code `engine_error`. The deadline is the caller's, which cancels; a call that
        goes on half a second later is left alone.
        """

    async def submit(self, nonce: str, requests: Sequence[Request]) -> Ticket:
        """Hand in requests as one batch that carries the nonce; never retry. All are of one `model_id`.

        The nonce is `themis-<UTC time as %Y%m%d%H%M%S>-<16 hexadecimal digits>`. Where `EngineError.unknown_outcome`
        is true, the batch may have been made all the same: the run then asks `find` before it submits it again.
        """
        raise _no_batches(self)

    async def find(self, nonce: str) -> Ticket | None:
        """The batch that carries the nonce, if the provider has it: asked by a run that was killed as it submitted.

        Raises EngineError where it can't be told (yet): the run asks again if that is `retryable`, and ends if not.
        """
        raise _no_batches(self)

    async def collect(self, ticket: Ticket) -> BatchState:
        """Look once where a batch stands, and let its replies be read if it is over."""
        raise _no_batches(self)

    async def cancel(self, ticket: Ticket) -> None:
        """Ask the provider to stop work on a batch. What was answered until then is still to be collected."""
        raise _no_batches(self)


def _no_batches(engine: Engine) -> EngineError:
    return EngineError("unsupported", f"{type(engine).__name__} takes no batches")
