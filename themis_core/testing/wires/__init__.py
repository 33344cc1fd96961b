"""The protocols that the scripted server speaks, one module each. The path of a request says which one is meant.

A further one is a class of `base.Wire` in a module of its own, and a line in `WIRES`.
"""

from __future__ import annotations

from typing import Any, Final

from themis_core.testing.wires.anthropic import Anthropic
from themis_core.testing.wires.azure import Azure
from themis_core.testing.wires.base import Call, Wire
from themis_core.testing.wires.converse import Converse
from themis_core.testing.wires.gemini import Gemini
from themis_core.testing.wires.openai import OpenAI
from themis_core.testing.wires.responses import Responses

__all__ = ["WIRES", "Call", "Wire", "understood", "wire_of"]

WIRES: Final[tuple[Wire, ...]] = (Anthropic(), Gemini(), Converse(), Azure(), Responses(), OpenAI())
"""The first that serves a path is meant. OpenAI's serves any, as its servers put it below all kinds of paths."""


def wire_of(path: str) -> Wire:
    """The protocol that a path is of."""
    bare = path.partition("?")[0]
    return next(each for each in WIRES if each.serves(bare))


def understood(ordinal: int, path: str, headers: dict[str, str], body: dict[str, Any], method: str = "POST") -> Call:
    """A request as its protocol means it."""
    wire = wire_of(path)
    messages = wire.messages(body)
    prompt = next((text for role, text in reversed(messages) if role == "user"), "")
    return Call(ordinal, path, headers, body, prompt, wire.model(path.partition("?")[0], body), messages, method)
