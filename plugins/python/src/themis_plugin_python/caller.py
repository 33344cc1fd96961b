"""The code under evaluation, ready to be called: imported, made once, handed what its parameters name, closed.

It is plain before it is used, so it can be sent to another process, which imports the code for itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from themis_plugin_python.answers import answer_of, failure_of, joined_piece
from themis_plugin_python.finding import Found
from themis_plugin_python.steps import Steps

__all__ = ["Caller", "method_of"]


class Caller:
    """Calls the code, with plain data going in and coming out."""

    def __init__(self, found: Found, takes: Sequence[str], config: Mapping[str, Any], retry_on: Sequence[str]) -> None:
        """`takes`: the names of its parameters, with `**` for all fields of the item."""
        self._found = found
        self._takes = tuple(takes)
        self._config = dict(config)
        self._retry_on = tuple(retry_on)
        self._made: tuple[Any, Any] | None = None
        self._runner: asyncio.Runner | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None, "_runner": None}

    def make(self) -> None:
        """Import the code, and make the object of a class. Raises what that raises."""
        self._callable()

    def answer(self, handed: Mapping[str, Any]) -> dict[str, Any]:
        """What a call comes to: `{"answer": fields of a Generation}` or `{"failed": fields of an EngineError}`."""
        steps = Steps()
        try:
            returned = self._callable()(**self._arguments(handed, steps))
            if inspect.isawaitable(returned) or isinstance(returned, AsyncIterator):
                returned = self._run(returned, steps)
            elif isinstance(returned, Iterator):
                returned = "".join(joined_piece(each, steps) for each in returned)
            return {"answer": answer_of(returned, steps)}
        except BaseException as error:  # noqa: BLE001 - all that the code can raise
            return self._failed(error, steps)

    async def answer_async(self, handed: Mapping[str, Any]) -> dict[str, Any]:
        """The same, in the event loop of who awaits it."""
        steps = Steps()
        try:
            returned = self._callable()(**self._arguments(handed, steps))
            return {"answer": answer_of(await _awaited(returned, steps), steps)}
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, GeneratorExit) or (task is not None and task.cancelling()):
                raise  # it is the run that ends it
            return self._failed(error, steps)

    def close(self) -> None:
        """Call the object's `close` or `aclose`, if it has one and was made."""
        if self._made is None:
            return
        ended = _closing(self._made[0])
        if inspect.isawaitable(ended):
            self._run(ended, Steps())
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        self._made = None

    async def close_async(self) -> None:
        """The same, in the event loop of who awaits it."""
        if self._made is not None:
            ended = _closing(self._made[0])
            if inspect.isawaitable(ended):
                await ended
            self._made = None

    def _failed(self, error: BaseException, steps: Steps) -> dict[str, Any]:
        if isinstance(error, MemoryError):
            raise error  # what is left of the process is no place for further calls
        return {"failed": failure_of(error, str(Path(self._found.path).parent), self._retry_on, steps)}

    def _callable(self) -> Any:
        if self._made is None:
            found = self._found.load()
            if isinstance(found, type):
                found = found(**deepcopy(self._config))
            self._made = found, method_of(found)
        return self._made[1]

    def _arguments(self, handed: Mapping[str, Any], steps: Steps) -> dict[str, Any]:
        own: dict[str, Any] = {**handed, "steps": steps, "config": deepcopy(self._config)}
        item: dict[str, Any] = handed["item"]
        found: dict[str, Any] = {}
        if "**" in self._takes:
            found |= {name: value for name, value in item.items() if name not in ("metadata", "reference")}
        for name in self._takes:
            if name in ("metadata", "reference"):
                if name in item:
                    found[name] = item[name]
            elif name == "item":
                found[name] = {each: value for each, value in item.items() if each not in ("metadata", "reference")}
            elif name in own:
                found[name] = own[name]
            elif name in item:
                found[name] = item[name]
        return found

    def _run(self, awaitable: Any, steps: Steps) -> Any:
        # One event loop for all calls of a process: clients that a class keeps belong to it.
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(_awaited(awaitable, steps))


async def _awaited(returned: Any, steps: Steps) -> Any:
    if isinstance(returned, AsyncIterator):
        return "".join([joined_piece(each, steps) async for each in returned])
    if inspect.isawaitable(returned):
        return await returned
    if isinstance(returned, Iterator):
        return "".join(joined_piece(each, steps) for each in returned)
    return returned


def method_of(found: Any) -> Any:
    """What is called of a function, or of an object: its method `answer`, or itself."""
    answer = getattr(found, "answer", None)
    return answer if callable(answer) and not inspect.isroutine(found) else found


def _closing(found: Any) -> Any:
    for name in ("aclose", "close"):
        if not inspect.isroutine(found) and callable(close := getattr(found, name, None)):
            return close()
    return None
