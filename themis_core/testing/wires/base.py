"""What a protocol has to say to be spoken by the scripted server. Standard library only, and no sockets."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Call", "Output", "Told", "Wire", "calls_of", "text_of"]

Output = Mapping[str, Any]
"""What a script says that is answered: `content` (a text), `reasoning`, `tool_calls` in OpenAI's form, `finish_reason`
in the protocol's own words; a protocol may know more."""
Told = tuple[dict[str, Any], dict[str, str]]
"""The body and the added headers of an error."""


class Call(NamedTuple):
    """One request to the model as the server understood it."""

    ordinal: int
    """1 for the first request after the start or the last reset."""
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    prompt: str
    """The last user message's text, or the prompt of a text completion."""
    model: str = ""
    messages: Sequence[tuple[str, str]] = ()
    """Role and text of each message."""
    method: str = "POST"


class Wire(ABC):
    """One protocol. Its methods keep nothing, and get what a client sent, whatever that is."""

    @abstractmethod
    def serves(self, path: str) -> bool:
        """Whether a path, without its query, is of this protocol."""

    @abstractmethod
    def messages(self, body: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Role and text of each message."""

    def model(self, path: str, body: Mapping[str, Any]) -> str:
        """The model that is asked."""
        return str(body.get("model", ""))

    @abstractmethod
    def key(self, headers: Mapping[str, str]) -> str:
        """The key that the request came with; empty if there is none."""

    @abstractmethod
    def unauthorized(self, key: str) -> tuple[int, Told]:
        """What a wrong key is answered: a status and an error."""

    @abstractmethod
    def error(self, status: int, given: Mapping[str, Any]) -> Told:
        """An error with the `message`, and with the `type`, `code` and what else a script gives."""

    @abstractmethod
    def answer(self, call: Call, output: Output, counts: tuple[int, int] | None) -> dict[str, Any]:
        """The body of an answer. `counts` are the tokens of prompt and text, None if none are told."""

    def events(self, call: Call, answer: dict[str, Any]) -> Iterator[str] | None:
        """The answer as a stream of events, if the request asks for one and the protocol has it."""
        return None


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or the texts of its parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or () if isinstance(part, dict))


def _arguments(call: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Id, name and arguments of a tool call in OpenAI's form."""
    function = call.get("function", {})
    given = function.get("arguments") or "{}"
    return call.get("id", "call-1"), function.get("name", ""), json.loads(given) if isinstance(given, str) else given


def calls_of(output: Output) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Id, name and arguments of each tool call of an output."""
    return map(_arguments, output.get("tool_calls") or ())
