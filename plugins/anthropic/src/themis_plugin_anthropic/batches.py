"""Message batches: many requests in one body, and their results as lines when all are done.

POST /v1/messages/batches ─ GET .../<id>, again and again ─ GET .../<id>/results
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote

from themis_core import BATCH_KEY_LENGTH, BatchLimits, BatchReply, BatchState, EngineError, Generation, Request, Ticket
from themis_http import HttpEngine, count, encode, first_json_line, invalid, json_lines, status_error

__all__ = ["TakesBatches"]

PATH: Final = "/v1/messages/batches"
PAGE: Final = 100
EARLIER_S: Final = 600
"""Seconds by which the provider's clock may be behind."""
MARK: Final = 16
"""Characters of a nonce, its last ones, that each `custom_id` of the batch begins with: it may have 64 in all, and is
all that a batch can be known by."""
OVER: Final = ("succeeded", "errored", "canceled", "expired")


class TakesBatches(HttpEngine):
    """What the engine needs to be asked by batches."""

    batch_limits: ClassVar[BatchLimits] = BatchLimits(max_requests=100_000, max_bytes=200_000_000)

    async def submit(self, nonce: str, requests: Sequence[Request]) -> Ticket:
        mark = nonce[-MARK:]
        asked = [{"custom_id": f"{mark}-{each.key[:BATCH_KEY_LENGTH]}", "params": self.body(each)} for each in requests]
        return _ticket(await self._told("POST", PATH, {"requests": asked}))

    async def find(self, nonce: str) -> Ticket | None:
        begun = datetime.strptime(nonce.split("-")[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
        waiting = ""
        async for batch in self._listed():
            if _moment(batch.get("created_at")) < begun - EARLIER_S:
                break
            ticket = _ticket(batch)
            if batch.get("processing_status") != "ended":
                waiting = ticket.id
            elif batch.get("archived_at") is None and await self._first_id(ticket) == nonce[-MARK:]:
                return ticket
        if waiting:
            message = f"whether batch {waiting} is the one that was submitted can't be told before it has ended"
            raise EngineError("server_error", message, retryable=True)
        return None

    async def collect(self, ticket: Ticket) -> BatchState:
        data = await self._told("GET", f"{PATH}/{quote(ticket.id, safe='')}")
        counts = data.get("request_counts")
        done, failed, cancelled, expired = (count(counts, name) or 0 for name in OVER)
        total = done + failed + cancelled + expired + (count(counts, "processing") or 0)
        if data.get("processing_status") != "ended":
            return BatchState("running", done, failed, total)
        status: Literal["cancelled", "expired", "ended"]
        status = "cancelled" if cancelled else "expired" if expired else "ended"
        return BatchState(status, done, failed, total, replies=self._replies(ticket))

    async def cancel(self, ticket: Ticket) -> None:
        await self._told("POST", f"{PATH}/{quote(ticket.id, safe='')}/cancel")

    async def _told(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        content = None if method == "GET" else encode(body or {})
        return self.json_of(await self.call(method, path, body=content, headers=headers))

    async def _listed(self) -> AsyncIterator[dict[str, Any]]:
        """All batches, newest first."""
        after = ""
        while True:
            page = await self._told("GET", f"{PATH}?limit={PAGE}{after}")
            listed = page.get("data")
            if not isinstance(listed, list):
                raise invalid("the list of batches has no data")
            for each in listed:
                if isinstance(each, dict):
                    yield each
            last = page.get("last_id")
            if not page.get("has_more") or not isinstance(last, str):
                return
            after = f"&after_id={quote(last, safe='')}"

    async def _first_id(self, ticket: Ticket) -> str:
        """The mark of the batch's first result; empty if it has none."""
        line = await first_json_line(self, _results(ticket))
        custom_id = line.get("custom_id") if line is not None else None
        return custom_id.partition("-")[0] if isinstance(custom_id, str) else ""

    async def _replies(self, ticket: Ticket) -> AsyncIterator[BatchReply]:
        async for line in json_lines(self, _results(ticket)):
            custom_id, result = line.get("custom_id"), line.get("result")
            if not isinstance(custom_id, str) or not isinstance(result, dict):
                raise invalid("a line of the batch's results is none of Anthropic's")
            said = self._result(result)
            if said is not None:
                yield BatchReply(custom_id.partition("-")[2], said)

    def _result(self, result: dict[str, Any]) -> Generation | EngineError | None:
        """What became of one request; None if nobody worked on it."""
        kind = result.get("type")
        try:
            if kind == "succeeded" and isinstance(message := result.get("message"), dict):
                return replace(self.read(message, 0.0), latency_s=None)
            if kind == "errored":
                body, redaction = encode(result.get("error") or {}), self.connection().redaction
                return status_error(400, {}, body, redaction, "", self.dialect)
        except EngineError as failed:
            return failed
        return None if kind in ("canceled", "expired") else invalid("a result is of no kind that is known")


def _results(ticket: Ticket) -> str:
    return f"{PATH}/{quote(ticket.id, safe='')}/results"


def _ticket(data: dict[str, Any]) -> Ticket:
    number = data.get("id")
    if not isinstance(number, str) or not number:
        raise EngineError("invalid_reply", "the batch that was made has no id", unknown_outcome=True)
    return Ticket(number)


def _moment(value: Any) -> float:
    """A time as seconds since 1970; one that can't be read is that of the newest."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError):
        return float("inf")
