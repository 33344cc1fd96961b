"""OpenAI's batches: a file of requests is uploaded, a batch made of it, and its output and error files are read.

POST /files ─ POST /batches ─ GET /batches/<id>, again and again ─ GET /files/<id>/content
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import quote

from themis_core import (
    BatchLimits,
    BatchReply,
    BatchState,
    EngineError,
    Generation,
    Request,
    Ticket,
)
from themis_http import encode, invalid, json_lines, json_object, status_error
from themis_plugin_openai.config import OpenAIEngine

__all__ = ["TakesBatches"]

NONCE: Final = "themis"
"""The key of a batch's metadata that holds the run's name for it."""
PAGE: Final = 100
EARLIER_S: Final = 86_400
"""Seconds by which the provider's clock may be behind."""
OVER: Final[dict[Any, Any]] = {
    "completed": "ended",
    "expired": "expired",
    "cancelled": "cancelled",
    "failed": "failed",
}
"""Status of a batch that is over, and what it is called here. All others are `running`."""
UNANSWERED: Final = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of requests that nobody worked on."""
MEANINGS: Final[dict[Any, tuple[str, bool]]] = {
    "token_limit_exceeded": ("rate_limited", True),  # of all tokens that wait at the provider
    "billing_hard_limit_reached": ("quota_exhausted", False),
    "insufficient_quota": ("quota_exhausted", False),
    "model_not_found": ("not_found", False),
}
"""Code of a batch that failed as a whole, and what it means; all others are `bad_request`."""


class TakesBatches(OpenAIEngine):
    """What a completions engine needs to be asked by batches."""

    batch_limits: ClassVar[BatchLimits] = BatchLimits(max_requests=50_000, max_bytes=180_000_000)

    async def submit(self, nonce: str, requests: Sequence[Request]) -> Ticket:
        name = await self._uploaded(nonce, requests)
        asked = {
            "input_file_id": name,
            "endpoint": f"/v1{self.path}",
            "completion_window": "24h",
            "metadata": {NONCE: nonce},
        }
        data = await self._json("POST", "/batches", encode(asked), {"content-type": "application/json"})
        return _ticket(data)

    async def find(self, nonce: str) -> Ticket | None:
        earliest = datetime.strptime(nonce.split("-")[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() - EARLIER_S
        after = ""
        while True:
            page = await self._json("GET", f"/batches?limit={PAGE}{after}")
            listed = page.get("data")
            if not isinstance(listed, list):
                raise invalid("the list of batches has no data")
            for each in filter(lambda it: isinstance(it, dict), listed):
                metadata = each.get("metadata")
                if isinstance(metadata, dict) and metadata.get(NONCE) == nonce:
                    return _ticket(each)
            last = listed[-1] if listed and isinstance(listed[-1], dict) else {}
            created, number = last.get("created_at"), last.get("id")
            too_old = isinstance(created, int | float) and created < earliest
            if not page.get("has_more") or not isinstance(number, str) or too_old:
                return None
            after = f"&after={quote(number, safe='')}"

    async def collect(self, ticket: Ticket) -> BatchState:
        data = await self._json("GET", f"/batches/{quote(ticket.id, safe='')}")
        counts = data.get("request_counts")
        done, failed, total = (_count(counts, name) for name in ("completed", "failed", "total"))
        status = OVER.get(data.get("status"), "running")
        if status == "running":
            return BatchState("running", done, failed, total)
        error = self._why_failed(data) if status == "failed" else None
        files = [each for name in ("output_file_id", "error_file_id") if isinstance(each := data.get(name), str)]
        return BatchState(status, done, failed, total, error, self._replies(files))

    async def cancel(self, ticket: Ticket) -> None:
        await self._json("POST", f"/batches/{quote(ticket.id, safe='')}/cancel", b"")

    async def _uploaded(self, nonce: str, requests: Sequence[Request]) -> str:
        boundary = secrets.token_hex(16)
        lines = b"".join(self._line(each) + b"\n" for each in requests)
        form = _form(boundary, f"{nonce}.jsonl", lines)
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        try:
            name = (await self._json("POST", "/files", form, headers)).get("id")
        except EngineError as error:
            error.unknown_outcome = False  # a file alone is no batch, and costs nothing
            raise
        if not isinstance(name, str):
            raise invalid("the uploaded file has no id")
        return name

    def _line(self, request: Request) -> bytes:
        return encode(
            {"custom_id": request.key, "method": "POST", "url": f"/v1{self.path}", "body": self.body(request)}
        )

    async def _json(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        received = await self.call(method, path, body=body, headers=headers)
        connection = self.connection()
        return json_object(received.body.pop(), connection.redaction, self.url(path), received.headers)

    def _why_failed(self, data: dict[str, Any]) -> EngineError:
        errors = data.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else None
        first = next((each for each in listed or () if isinstance(each, dict)), {})
        code, again = MEANINGS.get(first.get("code"), ("bad_request", False))
        line = f" (line {first['line']})" if isinstance(first.get("line"), int) else ""
        words = self.connection().redaction.message(str(first.get("message") or "the provider gives no reason"))
        return EngineError(code, f"the batch failed: {words}{line}", retryable=again)

    async def _replies(self, files: Sequence[str]) -> AsyncIterator[BatchReply]:
        for name in files:
            async for told in json_lines(self, f"/files/{quote(name, safe='')}/content"):
                if "custom_id" not in told:
                    raise invalid("a line of the batch's answers is none of OpenAI's")
                result = self._result(told)
                if result is not None:
                    yield BatchReply(str(told["custom_id"]), result)

    def _result(self, told: dict[str, Any]) -> Generation | EngineError | None:
        """What became of one request; None if nobody worked on it."""
        connection = self.connection()
        response, error = told.get("response"), told.get("error")
        if not isinstance(response, dict):
            code = error.get("code") if isinstance(error, dict) else None
            if code in UNANSWERED:
                return None
            return status_error(500, {}, encode({"error": error}), connection.redaction, "", connection.dialect)
        status = response.get("status_code")
        try:
            body = encode(response.get("body") or {})
            if status != 200:
                number = status if isinstance(status, int) and 400 <= status <= 599 else 500
                return status_error(number, {}, body, connection.redaction, "", connection.dialect)
            return self.read(json_object(body, connection.redaction, dialect=connection.dialect), 0.0)
        except ValueError:
            return invalid("the answer holds a number that is not finite")
        except EngineError as failed:
            return failed


def _ticket(data: dict[str, Any]) -> Ticket:
    number = data.get("id")
    if not isinstance(number, str) or not number:
        raise EngineError("invalid_reply", "the batch that was made has no id", unknown_outcome=True)
    return Ticket(number)


def _form(boundary: str, filename: str, content: bytes) -> bytes:
    mark = f"--{boundary}\r\n".encode()
    return b"".join(
        (
            mark,
            b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
            mark,
            f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\n'.encode(),
            b"Content-Type: application/jsonl\r\n\r\n",
            content,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0
