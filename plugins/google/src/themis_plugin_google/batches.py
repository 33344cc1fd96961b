"""Gemini's batches: requests within one body, and their replies within the operation when it is done.

POST /models/MODEL:batchGenerateContent ─ GET /batches/<id>, again and again
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote

from themis_core import BatchLimits, BatchReply, BatchState, EngineError, Generation, Request, Ticket
from themis_http import Dialect, HttpEngine, count, encode, inner_error, invalid, json_object

__all__ = ["TakesBatches"]

PAGE: Final = 100
EARLIER_S: Final = 86_400
"""Seconds by which the provider's clock may be behind."""
MOST_BYTES: Final = 2**30
"""An operation with all its replies may have."""
OVER: Final[dict[str, Literal["ended", "failed", "cancelled", "expired"]]] = {
    "SUCCEEDED": "ended",
    "PARTIALLY_SUCCEEDED": "ended",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}
"""State of a batch that is over, without `BATCH_STATE_` or `JOB_STATE_`, and what it is called here."""
NOT_WORKED_ON: Final = frozenset({"CANCELLED", "EXPIRED"})
_OPERATIONS: Final = Dialect(error_within=lambda data: None)
"""An operation's error is that of the batch, not that of the request for it."""


class TakesBatches(HttpEngine):
    """What the engine needs to be asked by batches."""

    # Requests within one body may have 20 MB together.
    batch_limits: ClassVar[BatchLimits] = BatchLimits(max_requests=10_000, max_bytes=15_000_000)

    async def submit(self, nonce: str, requests: Sequence[Request]) -> Ticket:
        asked = [{"request": self.body(each), "metadata": {"key": each.key}} for each in requests]
        batch = {"displayName": nonce, "inputConfig": {"requests": {"requests": asked}}}
        path = self.path_of(requests[0]).removesuffix(":generateContent") + ":batchGenerateContent"
        return _ticket(await self._told("POST", path, {"batch": batch}))

    async def find(self, nonce: str) -> Ticket | None:
        begun = datetime.strptime(nonce.split("-")[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
        token = ""
        while True:
            page = await self._told("GET", f"/batches?pageSize={PAGE}{token}")
            listed = page.get("operations", [])
            if not isinstance(listed, list):
                raise invalid("the list of batches has no operations")
            metadata = [_metadata(each) for each in listed if isinstance(each, dict)]
            for each, told in zip(listed, metadata, strict=False):
                if told.get("displayName") == nonce:
                    return _ticket(each)
            following = page.get("nextPageToken")
            too_old = bool(metadata) and all(_moment(each.get("createTime")) < begun - EARLIER_S for each in metadata)
            if not isinstance(following, str) or not following or too_old:
                return None
            token = f"&pageToken={quote(following, safe='')}"

    async def collect(self, ticket: Ticket) -> BatchState:
        data = await self._told("GET", f"/{ticket.id}")
        metadata = _metadata(data)
        stats = metadata.get("batchStats")
        done, failed = count(stats, "successfulRequestCount") or 0, count(stats, "failedRequestCount") or 0
        total = count(stats, "requestCount") or 0
        state = str(metadata.get("state", "")).removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
        if state not in OVER and not data.get("done"):
            return BatchState("running", done, failed, total)
        status = OVER.get(state, "failed" if data.get("error") else "ended")
        error = self._failure(data.get("error")) if status == "failed" else None
        return BatchState(status, done, failed, total, error, self._replies(data))

    async def cancel(self, ticket: Ticket) -> None:
        await self._told("POST", f"/{ticket.id}:cancel", {})

    async def _told(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        content = None if body is None else encode(body)
        headers = {"content-type": "application/json"} if body is not None else {}
        received = await self.call(method, path, body=content, headers=headers, most_bytes=MOST_BYTES)
        redaction = self.connection().redaction
        return json_object(received.body.pop(), redaction, self.url(path), received.headers, _OPERATIONS)

    async def _replies(self, data: dict[str, Any]) -> AsyncIterator[BatchReply]:
        for each in _inlined(data):
            metadata = each.get("metadata")
            key = metadata.get("key") if isinstance(metadata, dict) else None
            if not isinstance(key, str):
                raise invalid("a reply of the batch has no key")
            said = self._result(each)
            if said is not None:
                yield BatchReply(key, said)

    def _result(self, each: dict[str, Any]) -> Generation | EngineError | None:
        """What became of one request; None if nobody worked on it."""
        error, response = each.get("error"), each.get("response")
        if isinstance(error, dict) and error:
            return None if error.get("status") in NOT_WORKED_ON or error.get("code") == 1 else self._failure(error)
        if not isinstance(response, dict):
            return invalid("a reply of the batch has neither a response nor an error")
        try:
            return replace(self.read(response, 0.0), latency_s=None)
        except EngineError as failed:
            return failed

    def _failure(self, error: Any) -> EngineError:
        """What an error of an operation means. Its code may be a number of gRPC, which stands for a status."""
        told = error if isinstance(error, dict) else {}
        name = GRPC.get(told.get("code")) if not told.get("status") else told["status"]
        whole = {"error": {**told, **({"status": name} if name else {})}}
        return inner_error(whole, {}, self.connection().redaction, "", self.dialect)


GRPC: Final[dict[Any, str]] = dict(
    enumerate(
        (
            *("CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
            *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
            *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
        ),
        1,
    )
)


def _metadata(data: dict[str, Any]) -> dict[str, Any]:
    metadata = data.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _inlined(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The replies of an operation: within its response, or its metadata's output."""
    for place in (data.get("response"), _metadata(data).get("output")):
        listed = place.get("inlinedResponses") if isinstance(place, dict) else None
        listed = listed.get("inlinedResponses") if isinstance(listed, dict) else listed
        if isinstance(listed, list):
            return [each for each in listed if isinstance(each, dict)]
    return []


def _ticket(data: dict[str, Any]) -> Ticket:
    name = data.get("name")
    if not isinstance(name, str) or not name.startswith("batches/") or "?" in name:
        raise EngineError("invalid_reply", "the batch that was made has no name", unknown_outcome=True)
    return Ticket(name)


def _moment(value: Any) -> float:
    """A time as seconds since 1970; one that can't be read is that of the newest."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError):
        return float("inf")
