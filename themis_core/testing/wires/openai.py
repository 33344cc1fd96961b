"""OpenAI's protocol: chat completions, text completions, the list of models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from themis_core.testing.wires.base import Call, Output, Told, Wire, text_of

__all__ = ["OpenAI"]


class OpenAI(Wire):
    """Serves any path: what does not end with `/completions`, or ends with `/chat/completions`, is chat.

    An output has keys of the message (`content`, `tool_calls`, ...) and of the choice (`finish_reason`, `logprobs`).
    """

    def serves(self, path: str) -> bool:
        return True

    def messages(self, body: Mapping[str, Any]) -> list[tuple[str, str]]:
        if "prompt" in body:
            return [("user", str(body["prompt"]))]
        return [(str(each.get("role")), text_of(each.get("content"))) for each in body.get("messages", ())]

    def key(self, headers: Mapping[str, str]) -> str:
        return headers.get("authorization", "").removeprefix("Bearer ")

    def unauthorized(self, key: str) -> tuple[int, Told]:
        return 401, self.error(401, {"message": f"Incorrect API key provided: {key}", "code": "invalid_api_key"})

    def error(self, status: int, given: Mapping[str, Any]) -> Told:
        return {"error": {"message": "", "type": given.get("code") or "scripted", "code": None, **given}}, {}

    def answer(self, call: Call, output: Output, counts: tuple[int, int] | None) -> dict[str, Any]:
        given = dict(output)
        choice = {"finish_reason": given.pop("finish_reason", "stop"), "logprobs": given.pop("logprobs", None)}
        chat = not call.path.endswith("/completions") or call.path.endswith("/chat/completions")
        said = {"message": {"role": "assistant", **given}} if chat else {"text": given.get("content") or ""}
        n = call.body.get("n") or 1
        reply: dict[str, Any] = {
            "id": f"scripted-{call.ordinal}",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1_700_000_000,
            "model": call.model,
            "choices": [{"index": index, **said, **choice} for index in range(n)],
        }
        if counts:
            taken, made = counts[0], counts[1] * n
            reply["usage"] = {"prompt_tokens": taken, "completion_tokens": made, "total_tokens": taken + made}
        return reply

    def events(self, call: Call, answer: dict[str, Any]) -> Iterator[str] | None:
        if not call.body.get("stream"):
            return None
        return map(_event, (*self._chunks(call, answer), "[DONE]"))

    def _chunks(self, call: Call, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        head = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
        for choice in answer["choices"]:
            index, last = choice["index"], {"finish_reason": choice["finish_reason"]}
            for field in _pieces(choice.get("message")) if "message" in choice else _words(choice["text"]):
                said = {"delta": field} if "message" in choice else {"text": field}
                yield head | {"choices": [{"index": index, **said, "finish_reason": None}]}
            empty: dict[str, Any] = {"delta": {}} if "message" in choice else {"text": ""}
            yield head | {"choices": [{"index": index, **empty, **last, "logprobs": choice["logprobs"]}]}
        if "usage" in answer and (call.body.get("stream_options") or {}).get("include_usage"):
            yield head | {"choices": [], "usage": answer["usage"]}


def _event(data: Any) -> str:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


def _pieces(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a message grows by: its role, its texts word by word, each tool call in two pieces, all else at once."""
    for name, value in message.items():
        if name == "tool_calls" and value:
            for index, tool in enumerate(value):
                function = tool.get("function", {})
                named = {**tool, "index": index, "function": {**function, "arguments": ""}}
                yield {name: [named]}
                yield {name: [{"index": index, "function": {"arguments": function.get("arguments", "")}}]}
        elif isinstance(value, str) and name != "role":
            yield from ({name: word} for word in _words(value))
        else:
            yield {name: value}


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*|\s+", text)
