"""What spans and metrics say, by the names of OpenTelemetry's semantic conventions for generative AI.

Nothing of what is asked or answered is in them, but by `content`, which is asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from themis_core import Generation, RequestStarted
from themis_secrets import without_secrets

__all__ = [
    "asked_messages",
    "captures_content",
    "of_reply",
    "of_request",
    "operation",
    "printable",
    "said_messages",
    "sendable",
]

PROVIDERS: Final = {
    "anthropic": "anthropic",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "openai": "openai",
    "openai/azure": "azure.ai.openai",
}
"""Engine, or its namespace, to what the conventions call the provider; of all others, the namespace is its name."""
OPERATIONS: Final = {"google/gemini": "generate_content", "openai/completions": "text_completion"}
"""Engine to its operation; that of all others is `chat`."""
SETTINGS: Final = {
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "max_tokens": "gen_ai.request.max_tokens",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "stop": "gen_ai.request.stop_sequences",
    "temperature": "gen_ai.request.temperature",
    "top_k": "gen_ai.request.top_k",
    "top_p": "gen_ai.request.top_p",
}
"""Inference setting to attribute."""
COUNTS: Final = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
PORTS: Final = {"http": 80, "https": 443}


def operation(started: RequestStarted) -> dict[str, Any]:
    """What spans and metrics have in common: which operation of which model, and where."""
    engine = started.engine
    namespace = engine.partition("/")[0]
    return {
        "gen_ai.operation.name": OPERATIONS.get(engine, "chat"),
        "gen_ai.provider.name": PROVIDERS.get(engine) or PROVIDERS.get(namespace, namespace),
        "gen_ai.request.model": printable(started.request.model_id),
        **_server(started.endpoint),
    }


def of_request(started: RequestStarted) -> dict[str, Any]:
    """The attributes of a request's span as it begins."""
    params, seed = started.request.params, started.request.seed
    found = {name: params[setting] for setting, name in SETTINGS.items() if params.get(setting) is not None}
    if seed is not None:
        found["gen_ai.request.seed"] = seed
    if (params.get("n") or 1) != 1:
        found["gen_ai.request.choice.count"] = params["n"]
    if params.get("response_format", {}).get("type") in ("json_object", "json_schema"):
        found["gen_ai.output.type"] = "json"
    if started.batch:
        found |= {
            "themis.batch.id": started.batch,
            "themis.slice.id": started.slice_id,
            "themis.trial.id": started.trial_id,
        }
    return sendable(
        {
            **operation(started),
            **found,
            "themis.request.key": started.request.key,
            "themis.request.attempt": started.attempt,
            "themis.request.purpose": started.purpose,
        }
    )


def of_reply(generation: Generation) -> dict[str, Any]:
    """The attributes that a reply adds."""
    found: dict[str, Any] = {"themis.outcome": generation.status}
    for name, attribute in COUNTS.items():
        if (count := getattr(generation.usage, name)) is not None:
            found[attribute] = count
    for name, attribute in (("id", "gen_ai.response.id"), ("model", "gen_ai.response.model")):
        if isinstance(value := generation.provider.get(name), str):
            found[attribute] = value
    if generation.finish_reason is not None:
        found["gen_ai.response.finish_reasons"] = [generation.finish_reason]
    if generation.cost is not None:
        found["themis.cost"] = generation.cost
    return sendable(found)


def sendable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as exporters take them: whole numbers of 64 bits, or their digits, and texts of Unicode characters."""
    return {name: _sendable(value) for name, value in attributes.items()}


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list | tuple):
        return [_sendable(each) for each in value]
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def printable(text: str) -> str:
    """A text with a question mark for each half of a surrogate pair: what holds one can't be sent."""
    return text.encode("utf-8", "replace").decode()


def captures_content() -> bool:
    """Whether the environment asks for what is said to be in spans."""
    return os.environ.get(CAPTURE, "").strip().lower() in ("true", "1", "span_only", "span_and_event")


def asked_messages(messages: Sequence[Mapping[str, Any]]) -> str:
    """The messages of a request, as the conventions write `gen_ai.input.messages`."""
    return json.dumps([{"role": each.get("role"), "parts": _parts(each)} for each in messages])


def said_messages(generation: Generation) -> str:
    """An answer, as the conventions write `gen_ai.output.messages`."""
    parts = _parts({"content": generation.text, "tool_calls": generation.tool_calls})
    return json.dumps([{"role": "assistant", "parts": parts, "finish_reason": generation.finish_reason or ""}])


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if message.get("role") == "tool":
        said = content if isinstance(content, str) else _parts({"content": content})
        said = without_secrets(said) if isinstance(said, str) else said
        return [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": said}]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    found = [
        {"type": "text", "content": without_secrets(part.get("text", ""))}
        if part.get("type") == "text"
        else {"type": part.get("type")}
        for part in content or ()
    ]
    for call in message.get("tool_calls") or ():
        told = call.get("function") or {}
        arguments = without_secrets(str(told.get("arguments") or ""))
        found.append({"type": "tool_call", "id": call.get("id"), "name": told.get("name"), "arguments": arguments})
    return found


def _server(endpoint: str) -> dict[str, Any]:
    try:
        parts = urlsplit(endpoint)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return {}
    if not parts.hostname or port is None:
        return {}
    return {"server.address": parts.hostname, "server.port": port}
