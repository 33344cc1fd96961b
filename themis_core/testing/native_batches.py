"""The batches of a scripted server, as Anthropic's and Gemini's protocols have them.

    POST /v1/messages/batches ─ GET .../<id> ─ GET .../<id>/results
    POST /v1beta/models/MODEL:batchGenerateContent ─ GET /v1beta/batches/<id>

No sockets. What becomes of them is said by a script's `batches`, as with `themis_core.testing.batches`.
"""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from themis_core.testing.batches import Answered, BatchScript
from themis_core.testing.wires import wire_of

__all__ = ["AnthropicBatches", "GeminiBatches"]


@dataclass(slots=True)
class _Batch:
    id: str
    created: float
    body: dict[str, Any]
    keys: Sequence[str]
    path: str
    requests: Sequence[dict[str, Any]]
    end: str
    cancelled: bool = False


class _Batches(ABC):
    """What both have: how batches are made, found and ended by a script."""

    paths: ClassVar[re.Pattern[str]]

    def __init__(self, script: BatchScript, answered: Answered) -> None:
        self._script = script
        self._answered = answered
        self._batches: dict[str, _Batch] = {}
        self._creations = 0

    @classmethod
    def serves(cls, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request is one for batches."""
        return cls.paths.fullmatch(path.partition("?")[0]) is not None

    def made(self) -> list[dict[str, Any]]:
        """All batches, each as it is shown, with the `custom_ids` of its requests."""
        return [{**self.shown(each), "custom_ids": [*each.keys]} for each in self._batches.values()]

    @abstractmethod
    def reply(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> tuple[int, Any]:
        """Status and body of the response; a body that is no text is sent as JSON."""

    @abstractmethod
    def shown(self, batch: _Batch) -> dict[str, Any]:
        """A batch as the protocol shows it."""

    def create(
        self, path: str, body: dict[str, Any], name: str, keys: Sequence[str], requests: Sequence[dict[str, Any]]
    ) -> tuple[int, Any]:
        self._creations += 1
        if self._creations <= self._script.refused:
            return 500, wire_of(path).error(500, {"message": "The server had an error"})[0]
        count = len(self._batches)
        end = self._script.ends[count] if count < len(self._script.ends) else "completed"
        batch = _Batch(f"{name}{count + 1}", time.time(), body, keys, path, requests, end)
        self._batches[batch.id] = batch
        if self._creations <= self._script.refused + self._script.dropped:
            return 502, wire_of(path).error(502, {"message": "bad gateway"})[0]
        return 200, self.shown(batch)

    def listed(self) -> list[_Batch]:
        """Those that a list has, newest first."""
        shown = [each for each in self._batches.values() if time.time() - each.created >= self._script.hidden_s]
        return shown[::-1]

    def end_of(self, batch: _Batch) -> str | None:
        """How a batch has ended; None if it is worked on."""
        over = batch.cancelled or time.time() - batch.created >= self._script.takes_s
        return ("cancelled" if batch.cancelled else batch.end) if over else None

    def is_late(self, batch: _Batch) -> bool:
        """Whether one that has ended does not give its results yet."""
        most = self._script.takes_s + self._script.late_s
        return self._script.late_s > 0 and time.time() - batch.created < most

    def results(self, batch: _Batch) -> list[tuple[str, int | None, Any]]:
        """Key, status and body of each request of one that has ended, last first; None for what nobody worked on."""
        end, answered = self.end_of(batch), self._script.answered
        most = len(batch.requests) if end == "completed" or answered is None else answered
        told = [
            (key, *(self._answered(batch.path, body) if place < most else (None, None)))
            for place, (key, body) in enumerate(zip(batch.keys, batch.requests, strict=True))
        ]
        return told[::-1] if end != "failed" else []


class AnthropicBatches(_Batches):
    """Message batches. There are none that fail as a whole: one that a script lets fail ends without results."""

    paths = re.compile(r"/v1/messages/batches(?:/([^/]+))?(?:/(results|cancel))?")

    def reply(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> tuple[int, Any]:
        bare, _, query = path.partition("?")
        match = self.paths.fullmatch(bare)
        assert match is not None
        name, more = match.groups()
        if name is None:
            return self._create(json.loads(content)) if method == "POST" else (200, self._list(query))
        batch = self._batches.get(name)
        if batch is None:
            return 404, wire_of("/v1/messages").error(404, {"message": f"Batch {name} not found"})[0]
        if more == "cancel":
            batch.cancelled = True
        if more == "results":
            lines = [] if self.is_late(batch) else self._lines(batch)
            return 200, "".join(json.dumps(each) + "\n" for each in lines)
        return 200, self.shown(batch)

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        keys = [each["custom_id"] for each in body["requests"]]
        if any(not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in keys) or len({*keys}) < len(keys):
            return 400, wire_of("/v1/messages").error(400, {"message": "custom_id: 1 to 64 letters, once each"})[0]
        return self.create("/v1/messages", body, "msgbatch_", keys, [each["params"] for each in body["requests"]])

    def _list(self, query: str) -> dict[str, Any]:
        asked = dict(each.split("=", 1) for each in query.split("&") if "=" in each)
        found = self.listed()
        if (after := asked.get("after_id")) is not None:
            found = found[[each.id for each in found].index(after) + 1 :]
        limit = int(asked.get("limit", 20))
        page = [self.shown(each) for each in found[:limit]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return {"data": page, "has_more": len(found) > limit, **ends}

    def _lines(self, batch: _Batch) -> list[dict[str, Any]]:
        return [{"custom_id": key, "result": self._result(batch, *said)} for key, *said in self.results(batch)]

    def _result(self, batch: _Batch, status: int | None, body: Any) -> dict[str, Any]:
        if status is None:
            return {"type": "canceled" if self.end_of(batch) == "cancelled" else "expired"}
        return {"type": "succeeded", "message": body} if status == 200 else {"type": "errored", "error": body}

    def shown(self, batch: _Batch) -> dict[str, Any]:
        kinds = [each["result"]["type"] for each in self._lines(batch)] if self.end_of(batch) else []
        counts = {kind: kinds.count(kind) for kind in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if self.end_of(batch) else "in_progress",
            "request_counts": {"processing": 0 if self.end_of(batch) else len(batch.requests), **counts},
            "created_at": datetime.fromtimestamp(batch.created, UTC).isoformat(),
            "cancel_initiated_at": None,
            "archived_at": None,
            "results_url": f"https://api.anthropic.com/v1/messages/batches/{batch.id}/results",
        }


class GeminiBatches(_Batches):
    """Batches of `generateContent` whose requests and replies are within the bodies."""

    paths = re.compile(r"(/v1beta/models/[^/:]+):batchGenerateContent|/v1beta/batches(?:/([^/:]+))?(?::(cancel))?")
    states: ClassVar[Mapping[str | None, str]] = {
        None: "BATCH_STATE_RUNNING",
        "completed": "BATCH_STATE_SUCCEEDED",
        "expired": "BATCH_STATE_EXPIRED",
        "cancelled": "BATCH_STATE_CANCELLED",
        "failed": "BATCH_STATE_FAILED",
    }

    def reply(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> tuple[int, Any]:
        bare, _, query = path.partition("?")
        match = self.paths.fullmatch(bare)
        assert match is not None
        model, name, more = match.groups()
        if model is not None:
            return self._create(model, json.loads(content)["batch"])
        if name is None:
            return 200, self._list(query)
        batch = self._batches.get(f"batches/{name}")
        if batch is None:
            return 404, wire_of("/v1beta/models/m:generateContent").error(404, {"message": "No such batch."})[0]
        if more == "cancel":
            batch.cancelled = True
            return 200, {}
        return 200, self.shown(batch)

    def _create(self, model: str, batch: dict[str, Any]) -> tuple[int, Any]:
        asked = batch["inputConfig"]["requests"]["requests"]
        keys = [each["metadata"]["key"] for each in asked]
        return self.create(f"{model}:generateContent", batch, "batches/b", keys, [each["request"] for each in asked])

    def _list(self, query: str) -> dict[str, Any]:
        asked = dict(each.split("=", 1) for each in query.split("&") if "=" in each)
        start, size = int(asked.get("pageToken", 0)), int(asked.get("pageSize", 50))
        found = self.listed()
        page: dict[str, Any] = {"operations": [self.shown(each) for each in found[start : start + size]]}
        return page | ({"nextPageToken": str(start + size)} if len(found) > start + size else {})

    def shown(self, batch: _Batch) -> dict[str, Any]:
        end = self.end_of(batch)
        replies = [self._reply(batch, *each) for each in self.results(batch)] if end else []
        done = sum("response" in each for each in replies)
        stats = {"requestCount": len(batch.requests), "successfulRequestCount": done}
        stats["failedRequestCount"] = len(replies) - done
        operation: dict[str, Any] = {
            "name": batch.id,
            "metadata": {
                "displayName": batch.body["displayName"],
                "state": self.states[end],
                "createTime": datetime.fromtimestamp(batch.created, UTC).isoformat(),
                "batchStats": {name: str(value) for name, value in stats.items()},  # as JSON has 64 bit integers
            },
        }
        if end == "failed":
            errors = self._script.errors or ({"code": 13, "message": "An internal error occurred."},)
            return operation | {"done": True, "error": errors[0]}
        given = [] if self.is_late(batch) else replies
        return operation | (
            {"done": True, "response": {"inlinedResponses": {"inlinedResponses": given}}} if end else {}
        )

    def _reply(self, batch: _Batch, key: str, status: int | None, body: Any) -> dict[str, Any]:
        metadata = {"metadata": {"key": key}}
        if status is None:
            return {"error": {"code": 1, "message": "The request was not worked on."}, **metadata}
        return {"response": body, **metadata} if status == 200 else {**body, **metadata}
