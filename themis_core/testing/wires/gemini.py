"""Gemini's protocol: `POST /v1beta/models/MODEL:generateContent`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from themis_core.testing.wires.base import Call, Output, Told, Wire, calls_of, text_of

__all__ = ["Gemini"]

STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_PATH = re.compile(r"/([^/]+):(?:stream)?[gG]enerateContent$")
_ROLES: Final = {"model": "assistant"}


class Gemini(Wire):
    """An output has `content` (a text, or the parts themselves), `reasoning` and `signature` of a thought,
    `tool_calls`, `finish_reason`, and any further key of the reply, such as `promptFeedback` or `usageMetadata`;
    with `promptFeedback` there is no candidate."""

    def serves(self, path: str) -> bool:
        return _PATH.search(path) is not None

    def model(self, path: str, body: Mapping[str, Any]) -> str:
        found = _PATH.search(path)
        return found[1] if found else ""

    def messages(self, body: Mapping[str, Any]) -> list[tuple[str, str]]:
        instruction = body.get("systemInstruction")
        system = [("system", text_of(instruction.get("parts")))] if isinstance(instruction, dict) else []
        said = [(str(each.get("role", "user")), text_of(each.get("parts"))) for each in body.get("contents", ())]
        return [*system, *((_ROLES.get(role, role), text) for role, text in said)]

    def key(self, headers: Mapping[str, str]) -> str:
        return headers.get("x-goog-api-key", "")

    def unauthorized(self, key: str) -> tuple[int, Told]:
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        }
        message = "API key not valid. Please pass a valid API key."
        return 400, self.error(400, {"message": message, "details": [info]})

    def error(self, status: int, given: Mapping[str, Any]) -> Told:
        name = STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
        further = {key: value for key, value in given.items() if key in ("status", "details")}
        return {"error": {"code": status, "message": given.get("message", ""), "status": name, **further}}, {}

    def answer(self, call: Call, output: Output, counts: tuple[int, int] | None) -> dict[str, Any]:
        known = ("content", "reasoning", "signature", "tool_calls", "finish_reason")
        reply: dict[str, Any] = {"modelVersion": call.model, "responseId": f"scripted-{call.ordinal}"}
        if "promptFeedback" not in output:
            content = {"role": "model", "parts": _parts(output)}
            reply["candidates"] = [
                {"content": content, "finishReason": output.get("finish_reason", "STOP"), "index": 0}
            ]
        if counts:
            taken, made = counts
            reply["usageMetadata"] = {
                "promptTokenCount": taken,
                "candidatesTokenCount": made,
                "totalTokenCount": taken + made,
            }
        return reply | {name: value for name, value in output.items() if name not in known}


def _parts(output: Output) -> list[dict[str, Any]]:
    content = output.get("content")
    if isinstance(content, list):
        return content
    parts: list[dict[str, Any]] = []
    if "reasoning" in output:
        parts.append({"text": output["reasoning"], "thought": True})
    if content:
        parts.append({"text": content})
    parts += [{"functionCall": {"id": each, "name": name, "args": args}} for each, name, args in calls_of(output)]
    if parts and "signature" in output:
        parts[-1]["thoughtSignature"] = output["signature"]
    return parts
