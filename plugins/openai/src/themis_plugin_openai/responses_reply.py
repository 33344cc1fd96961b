"""Reads replies of the Responses interface: the items of an output become a generation. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from themis_core import HANDED_BACK, Generation, Usage
from themis_http import (
    Dialect,
    Ending,
    billed,
    ending_of_answer,
    invalid,
    names_of,
    plain_objects,
    status_of,
    warning_of,
)
from themis_plugin_openai.dialect import path_hint
from themis_plugin_openai.reply import provider_of, tokens_of
from themis_plugin_openai.responses_wire import OUTPUT
from themis_plugin_openai.streaming import Stream
from themis_plugin_openai.usage import read_usage

__all__ = ["RESPONSES", "ResponsesStream", "read_response"]

ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_OF_THE_REQUEST = ("invalid_", "image_", "unsupported_", "empty_image", "failed_to_download")
"""How the codes of failures begin that the request is to blame for."""


def error_within(data: dict[str, Any]) -> Any:
    """The error that a reply is, if its work failed."""
    if data.get("error"):
        return data
    if data.get("status") == "failed":
        return {"error": {"message": "the response failed, without a reason"}, "usage": data.get("usage")}
    return data if data.get("type") == "error" else None


def meaning(status: int, data: Any) -> tuple[str, bool] | None:
    """What the codes mean that only this interface has."""
    error = data.get("error", data) if isinstance(data, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    words = error.get("message") if isinstance(error, dict) else None
    if code == "invalid_prompt" and isinstance(words, str) and "polic" in words:
        return "content_filter", False
    if isinstance(code, str) and status == 400 and code.startswith(_OF_THE_REQUEST):
        return "bad_request", False
    return None


RESPONSES = Dialect(read_usage=read_usage, error_within=error_within, meaning=meaning, path_hint=path_hint)


def read_response(data: dict[str, Any], latency_s: float | None = None) -> Generation:
    """Turn a response, which took so long, into a generation."""
    with billed(data, read_usage):
        return _read(data, latency_s)


def _read(data: dict[str, Any], latency_s: float | None) -> Generation:
    output = plain_objects(data.get("output"), "output")
    reason, ending = _ending(data)
    if not output and ending in ("whole", "unknown") and read_usage(data) is None:
        raise invalid(f"the reply has no output{names_of(data)}")
    parts = list(_parts(output))
    text = "".join(_text(part, "text") for part in parts if part.get("type") == "output_text")
    refusal = "".join(_text(part, "refusal") for part in parts if part.get("type") == "refusal") or None
    calls = tuple(_call(item) for item in output if item.get("type") in ("function_call", "custom_tool_call"))
    status = status_of(text, ending, refusal, calls)
    return Generation(
        status=status,
        text=text,
        reasoning=_reasoning(output),
        refusal=refusal,
        finish_reason=reason,
        usage=read_usage(data) or Usage(),
        latency_s=latency_s,
        tool_calls=calls,
        logprobs=tokens_of({"content": [each for part in parts for each in part.get("logprobs") or ()]}),
        provider=provider_of(data) | _handed_back(output) | warning_of(reason, ending, status),
    )


def _ending(data: dict[str, Any]) -> tuple[str | None, Ending]:
    """Why the answer ended, in the interface's words, and what that means."""
    status, details = data.get("status"), data.get("incomplete_details")
    if status in ("queued", "in_progress"):
        raise invalid("the response is still at work: take `background` out of what is sent")
    reason = details.get("reason") if status == "incomplete" and isinstance(details, dict) else status
    reason = reason[:200] if isinstance(reason, str) and reason else None
    return reason, ending_of_answer(reason)


def _parts(output: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    """The parts of the messages, without those that the model says are only on the way to its answer."""
    messages = [item for item in output if item.get("type") == "message"]
    final = [item for item in messages if item.get("phase") != "commentary"]
    for message in final or messages:
        content = message.get("content")
        if not isinstance(content, list):
            raise invalid("a message has no list of parts")
        yield from (part for part in content if isinstance(part, dict))


def _text(part: dict[str, Any], name: str) -> str:
    if not isinstance(text := part.get(name), str):
        raise invalid("a part of a message has no text")
    return text


def _reasoning(output: tuple[dict[str, Any], ...]) -> str | None:
    """What was thought, where the server shows it, and its summary elsewhere."""
    told = []
    for item in output:
        if item.get("type") == "reasoning":
            parts = item.get("content") or item.get("summary") or ()
            told += [each["text"] for each in parts if isinstance(each, dict) and isinstance(each.get("text"), str)]
    return "\n\n".join(told) or None


def _call(item: dict[str, Any]) -> dict[str, Any]:
    """A call of a tool in the form that chat completions give it."""
    called = {"id": item.get("call_id") or item.get("id")}
    if item.get("type") == "custom_tool_call":
        return called | {"type": "custom", "custom": {"name": item.get("name"), "input": item.get("input")}}
    return called | {"type": "function", "function": {"name": item.get("name"), "arguments": item.get("arguments")}}


def _handed_back(output: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """All items, if one holds reasoning that only the server can read: it belongs in front of what follows it."""
    kept = list(output)
    while kept and kept[-1].get("type") == "reasoning":  # cut off while it thought: it is refused without what followed
        kept.pop()
    sealed = any(item.get("encrypted_content") for item in kept if item.get("type") == "reasoning")
    return {HANDED_BACK: {OUTPUT: kept}} if sealed else {}


class ResponsesStream(Stream):
    """A streamed response: the last event has all of it."""

    _response: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        return self.ended()  # whatever else is sent, such as the end of a stream of chat completions

    def add(self, data: dict[str, Any]) -> bool:
        if data.get("type") in ENDS and isinstance(data.get("response"), dict):
            self._response = data["response"]
        return self._response is not None

    def ended(self) -> bool:
        return self._response is not None

    def said(self) -> dict[str, Any]:
        return self._response or {}
