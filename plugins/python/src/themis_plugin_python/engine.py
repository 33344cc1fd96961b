"""The engine that calls people's own Python code."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from themis_core import (
    Capabilities,
    Code,
    Engine,
    EngineError,
    Generation,
    Request,
    SpecError,
    digest,
    failure_with_steps,
    generation_of,
)
from themis_plugin_python.answers import told_place
from themis_plugin_python.caller import Caller
from themis_plugin_python.finding import Found, find
from themis_plugin_python.lanes import Lane, LaneName, lane_of
from themis_plugin_python.parameters import Parameters, parameters_of

__all__ = ["CallableEngine"]


class CallableEngine(Engine):
    """Calls a function, a coroutine function or a class of your own, handed what its parameters name.

    It returns a text, a dict with the fields of a generation, or a Generation; generators yield pieces of text. The
    content of its source is part of the generation keys.
    """

    call: str = Field(
        description="`path/to/file.py:name`, relative to the spec file, or `module:name`: a function, a coroutine "
        "function, a generator, or a class with the method `answer` or `__call__`.",
        min_length=3,
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="What a class is made with, once for each process; or the parameter `config` of a function.",
    )
    files: list[str] = Field(
        default_factory=list,
        description="Further files that the code reads, or globs, such as `prompts/*.txt`; their content counts, too.",
    )
    code_version: str | None = Field(
        None,
        min_length=1,
        description="What counts in place of the source's content: a version that you raise yourself, or the digest of "
        "a former content, whose answers are then kept.",
    )
    reference: bool = Field(False, description="Whether the code may be handed the item's reference.")
    lane: LaneName | None = Field(
        None,
        alias="runs_in",
        description="Where it is called: `process` (by default), which can be ended whatever the code does; `thread`; "
        "or `async`, in the event loop of the run (by default for what is async).",
    )
    places: int | None = Field(
        None, alias="at_once", ge=1, description="How many calls run at once: by default 4, in threads 1, async 32."
    )
    retry_on: list[str] = Field(
        default_factory=list,
        description="Names of exceptions that are worth another attempt, such as `ConnectionError`, or `TimeoutError` "
        "for calls that take too long. None by default.",
    )
    costs: bool = Field(
        False, description="Whether every answer says its `cost`, so that `max_cost` can bound it without a price."
    )

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"code_version", "costs", "files", "lane", "places", "reference", "retry_on"}
    )

    _found: Found | None = PrivateAttr(None)
    _parameters: Parameters | None = PrivateAttr(None)
    _lane: Lane | None = PrivateAttr(None)

    @property
    def endpoint(self) -> str:
        """Of each code its own."""
        return f"python {self.call} {digest(self.config)[:8]}" if self.config else f"python {self.call}"

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """What its parameters let it see."""
        sees_parts, sees_params = self._takes("messages"), self._takes("params")
        return Capabilities(
            seed=self._takes("seed"), images=sees_parts, audio=sees_parts, files=sees_parts, tools=sees_params,
            structured=sees_params, costs=self.costs,
        )  # fmt: skip

    @property
    def at_once(self) -> int:  # type: ignore[override]
        """How many calls may be in flight."""
        usual = {"process": min(4, max(2, os.cpu_count() or 1)), "thread": 1, "async": 32}
        return self.places or usual[self._runs_in]

    @property
    def item_fields(self) -> tuple[str, ...]:
        return self._parameters.item_fields if self._parameters else ()

    @property
    def reads_prompt(self) -> bool:
        return self._takes("messages", "prompt") if self._parameters else True

    @property
    def code(self) -> Code | None:
        if self._found is None:
            return None
        content = self.code_version or self._found.content
        return Code(self.call, content, self._found.files, "write `code_version: {content}` into the model's extras")

    def check(self, base_dir: Path) -> None:
        """Import the code, and look at its parameters. Raises SpecError that says what is wrong, and in which line."""
        self._found = found = find(self.call, self.files, base_dir)
        try:
            target = found.load()
        except AttributeError as error:
            raise SpecError(f"call: {found.path} has no {found.name!r} ({error})") from error
        except (Exception, SystemExit) as error:
            place = told_place(error, str(Path(found.path).parent))
            raise SpecError(f"call: importing {found.path} raised {type(error).__name__}: {error}{place}") from error
        self._parameters = parameters_of(target, self.config, reference=self.reference)
        if self._runs_in == "async" and not self._parameters.is_async:
            raise SpecError("runs_in: async is for coroutine functions; this one would hold up the whole run")
        if self._runs_in == "thread" and self._parameters.is_async:
            raise SpecError("runs_in: a coroutine function runs in async or process, not in a thread")

    def check_params(self, params: dict[str, Any]) -> None:
        """Refuse settings that the code does not see: they would change nothing."""
        unseen = [name for name in params if not self._takes("params") and not (name == "seed" and self._takes("seed"))]
        if unseen:
            raise ValueError(
                f"{self.call} has no parameter `params`, so {', '.join(unseen)} would change nothing: give it one, or "
                f"write `params: {{leave_out: [{', '.join(unseen)}]}}` into the model"
            )

    async def start(self) -> None:
        if self._found is None or self._parameters is None:
            raise RuntimeError("python/callable is used before `check`, which finds the code")
        caller = Caller(self._found, self._parameters.names, self.config, self.retry_on)
        late = "TimeoutError" in self.retry_on
        self._lane = lane_of(self._runs_in, caller, self.at_once, f"python/callable {self.call}", retry_late=late)
        if self._parameters.is_class:
            try:
                await self._lane.make()
            except BaseException:
                await self.stop()  # which nobody calls of an engine that did not start
                raise

    async def stop(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            await lane.close()

    async def generate(self, request: Request) -> Generation:
        if self._lane is None:
            raise RuntimeError("python/callable is not started")
        outcome = await self._lane.call(_handed(request))
        try:
            if "failed" not in outcome:
                return generation_of(outcome["answer"])
            failure = failure_with_steps(**outcome["failed"])
        except (TypeError, ValueError) as error:
            raise EngineError("application_error", f"what it returned is no generation: {error}") from error
        raise failure

    @property
    def _runs_in(self) -> LaneName:
        if self.lane is not None:
            return self.lane
        if self._parameters is not None and self._parameters.is_async:
            return "async"
        return "process" if os.name == "posix" else "thread"

    def _takes(self, *names: str) -> bool:
        return self._parameters is not None and self._parameters.takes(*names)


def _handed(request: Request) -> dict[str, Any]:
    said = [each for each in request.messages if each.get("role") == "user"]
    content = said[-1].get("content") if said else ""
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return {
        "item": deepcopy(request.item),
        "messages": deepcopy(request.messages),
        "prompt": content,
        "params": deepcopy(request.params),
        "seed": request.seed,
        "sample": request.sample_index,
        "item_id": request.item_id,
        "model": request.model_id,
    }
