"""Anthropic's Messages: `POST /v1/messages`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from themis_core.testing.wires.base import Call, Output, Told, Wire, calls_of, text_of

__all__ = ["Anthropic"]

TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Anthropic(Wire):
    """An output has `content` (a text, or the blocks themselves), `reasoning` and `signature` of a thinking block,
    `tool_calls`, `finish_reason`, and any further key of the reply, such as `stop_details` or `usage`."""

    def serves(self, path: str) -> bool:
        return path.endswith("/messages")

    def messages(self, body: Mapping[str, Any]) -> list[tuple[str, str]]:
        system = [("system", text_of(body["system"]))] if "system" in body else []
        return [*system, *((str(each.get("role")), text_of(each.get("content"))) for each in body.get("messages", ()))]

    def key(self, headers: Mapping[str, str]) -> str:
        return headers.get("x-api-key", "")

    def unauthorized(self, key: str) -> tuple[int, Told]:
        return 401, self.error(401, {"message": "invalid x-api-key"})

    def error(self, status: int, given: Mapping[str, Any]) -> Told:
        kind = given.get("type") or TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        error = {"type": kind, "message": given.get("message", "")}
        return {"type": "error", "error": error, "request_id": "req_scripted"}, {"request-id": "req_scripted"}

    def answer(self, call: Call, output: Output, counts: tuple[int, int] | None) -> dict[str, Any]:
        blocks = _blocks(output)
        uses_tools = any(each["type"] == "tool_use" for each in blocks)
        known = ("content", "reasoning", "signature", "tool_calls", "finish_reason")
        reply: dict[str, Any] = {
            "id": f"msg_{call.ordinal}",
            "type": "message",
            "role": "assistant",
            "model": call.model,
            "content": blocks,
            "stop_reason": output.get("finish_reason", "tool_use" if uses_tools else "end_turn"),
            "stop_sequence": None,
        }
        if counts:
            reply["usage"] = {"input_tokens": counts[0], "output_tokens": counts[1]}
        return reply | {name: value for name, value in output.items() if name not in known}


def _blocks(output: Output) -> list[dict[str, Any]]:
    content = output.get("content")
    if isinstance(content, list):
        return content
    blocks: list[dict[str, Any]] = []
    if "reasoning" in output:
        signature = output.get("signature", "c2NyaXB0ZWQ=")
        blocks.append({"type": "thinking", "thinking": output["reasoning"], "signature": signature})
    if content:
        blocks.append({"type": "text", "text": content})
    blocks += [{"type": "tool_use", "id": each, "name": name, "input": given} for each, name, given in calls_of(output)]
    return blocks
