"""OpenAI's Responses: a list of input items, and one of output items."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from themis_core.testing.wires.base import Call, Output, calls_of, text_of
from themis_core.testing.wires.openai import OpenAI

__all__ = ["Responses"]

ENCRYPTED = "reasoning.encrypted_content"


class Responses(OpenAI):
    """Serves paths that end with `/responses`.

    An output's `reasoning` becomes a summary, `refusal` a part of the message, and `finish_reason` why the response is
    incomplete (`max_output_tokens`, `content_filter`). Its `failed` is the error of a response whose work failed.
    """

    def serves(self, path: str) -> bool:
        return path.endswith("/responses")

    def messages(self, body: Mapping[str, Any]) -> list[tuple[str, str]]:
        given = body.get("input", ())
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        said = [(str(each.get("role")), text_of(each.get("content"))) for each in items if "role" in each]
        return [("system", str(body["instructions"])), *said] if body.get("instructions") else said

    def answer(self, call: Call, output: Output, counts: tuple[int, int] | None) -> dict[str, Any]:
        reason, failed = output.get("finish_reason"), output.get("failed")
        status = "failed" if failed else "incomplete" if reason else "completed"
        reply: dict[str, Any] = {
            "id": f"scripted-{call.ordinal}",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": status,
            "error": failed,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": call.model,
            "output": [] if failed else list(_items(call, output)),
            "usage": None,
        }
        if counts:
            taken, made = counts
            reply["usage"] = {
                "input_tokens": taken,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": made,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": taken + made,
            }
        return reply

    def events(self, call: Call, answer: dict[str, Any]) -> Iterator[str] | None:
        return _events(answer) if call.body.get("stream") else None


def _items(call: Call, output: Output) -> Iterator[dict[str, Any]]:
    number = call.ordinal
    if reasoning := output.get("reasoning"):
        item = {"id": f"rs_{number}", "type": "reasoning", "summary": [{"type": "summary_text", "text": reasoning}]}
        sealed = {"encrypted_content": f"sealed-{number}"} if ENCRYPTED in (call.body.get("include") or ()) else {}
        yield item | sealed
    refusal, text = output.get("refusal"), output.get("content")
    parts: list[dict[str, Any]] = []
    if isinstance(text, str) and text:
        parts.append({"type": "output_text", "text": text, "annotations": [], "logprobs": output.get("logprobs") or []})
    if refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    if parts:
        yield {
            "id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": parts,
        }  # fmt: skip
    for index, (name, function, arguments) in enumerate(calls_of(output)):
        yield {
            "id": f"fc_{number}_{index}", "type": "function_call", "status": "completed",
            "call_id": name, "name": function, "arguments": json.dumps(arguments),
        }  # fmt: skip


def _events(answer: dict[str, Any]) -> Iterator[str]:
    begun = answer | {"status": "in_progress", "output": [], "usage": None, "error": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(answer["output"]):
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": f"response.{answer['status']}", "response": answer})
    for number, event in enumerate(events):
        yield f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': number})}\n\n"
