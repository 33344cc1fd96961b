"""Amazon Bedrock's Converse: `POST /model/MODEL/converse`. Requests are signed; here only their access key is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from themis_core.testing.wires.base import Call, Output, Told, Wire, calls_of, text_of

__all__ = ["Converse"]

EXCEPTIONS: Final = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_PATH = re.compile(r"/model/([^/]+)/converse$")
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")


class Converse(Wire):
    """An output has `content` (a text, or the blocks themselves), `reasoning` and `signature` of a reasoning block,
    `tool_calls`, `finish_reason`, and any further key of the reply, such as `usage` or `trace`."""

    def serves(self, path: str) -> bool:
        return _PATH.search(path) is not None

    def model(self, path: str, body: Mapping[str, Any]) -> str:
        found = _PATH.search(path)
        return unquote(found[1]) if found else ""

    def messages(self, body: Mapping[str, Any]) -> list[tuple[str, str]]:
        system = [("system", text_of(body["system"]))] if "system" in body else []
        return [*system, *((str(each.get("role")), text_of(each.get("content"))) for each in body.get("messages", ()))]

    def key(self, headers: Mapping[str, str]) -> str:
        given = headers.get("authorization", "")
        found = _CREDENTIAL.search(given)
        return found[1] if found else given.removeprefix("Bearer ")

    def unauthorized(self, key: str) -> tuple[int, Told]:
        message = "The security token included in the request is invalid."
        return 403, self.error(403, {"message": message, "type": "UnrecognizedClientException"})

    def error(self, status: int, given: Mapping[str, Any]) -> Told:
        kind = given.get("type") or EXCEPTIONS.get(status)
        kind = kind or ("ValidationException" if status < 500 else "InternalServerException")
        return {"message": given.get("message", "")}, {"x-amzn-ErrorType": kind, "x-amzn-RequestId": "scripted"}

    def answer(self, call: Call, output: Output, counts: tuple[int, int] | None) -> dict[str, Any]:
        blocks = _blocks(output)
        uses_tools = any("toolUse" in each for each in blocks)
        known = ("content", "reasoning", "signature", "tool_calls", "finish_reason")
        reply: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": blocks}},
            "stopReason": output.get("finish_reason", "tool_use" if uses_tools else "end_turn"),
            "metrics": {"latencyMs": 1},
        }
        if counts:
            taken, made = counts
            reply["usage"] = {"inputTokens": taken, "outputTokens": made, "totalTokens": taken + made}
        return reply | {name: value for name, value in output.items() if name not in known}


def _blocks(output: Output) -> list[dict[str, Any]]:
    content = output.get("content")
    if isinstance(content, list):
        return content
    blocks: list[dict[str, Any]] = []
    if "reasoning" in output:
        text = {"text": output["reasoning"], "signature": output.get("signature", "c2NyaXB0ZWQ=")}
        blocks.append({"reasoningContent": {"reasoningText": text}})
    if content:
        blocks.append({"text": content})
    blocks += [{"toolUse": {"toolUseId": each, "name": name, "input": given}} for each, name, given in calls_of(output)]
    return blocks
