"""The batches of a scripted server, as OpenAI's protocol has them: files, batches, output and error files.

    POST /v1/files ─ POST /v1/batches ─ GET /v1/batches/<id> ─ GET /v1/files/<id>/content

No sockets. What is answered to each request of a batch is what the script says of it (`themis_core.testing.script`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["BatchBook", "BatchScript"]

Answered = Callable[[str, dict[str, Any]], tuple[int, Any]]
"""Path and body of one request of a batch to the status and body of its answer."""
_PATHS = re.compile(r"/v1/(files|batches)(?:/([^/]+))?(?:/(content|cancel))?")
_BOUNDARY = re.compile(r'boundary="?([^";]+)')


@dataclass(frozen=True, slots=True)
class BatchScript:
    """What becomes of batches: the value of a script's `batches`."""

    takes_s: float = 0
    """Seconds from a batch's creation to its end."""
    late_s: float = 0
    """Seconds after its end in which it is said to be over, and its results can't be had."""
    hidden_s: float = 0
    """Seconds from its creation in which no list has it."""
    answered: int | None = None
    """How many of its requests, the first ones, are answered: of the first of the `ends` only; by default all."""
    ends: tuple[Literal["completed", "expired", "cancelled", "failed"], ...] = ()
    """How the batches end, in the order of their creation; all others are `completed`."""
    errors: tuple[dict[str, Any], ...] = ()
    """Of one that is `failed`: each with `code` and `message`."""
    refused: int = 0
    """How many creations are answered with a 500."""
    dropped: int = 0
    """How many creations, after those, are carried out and answered with a 502, as by a gateway that gave up."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BatchScript:
        """Read what a script says. Raises TypeError for a key that there is not."""
        values = dict(data)
        return cls(**{**values, "ends": tuple(values.get("ends", ())), "errors": tuple(values.get("errors", ()))})


@dataclass(slots=True)
class _Batch:
    id: str
    created: float
    body: dict[str, Any]
    requests: list[dict[str, Any]]
    end: str
    cancelled: bool = False
    files: dict[str, str] = field(default_factory=dict)


class BatchBook:
    """Files and batches of one server."""

    def __init__(self, script: BatchScript, answered: Answered) -> None:
        self._script = script
        self._answered = answered
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _Batch] = {}
        self._creations = 0

    @staticmethod
    def serves(method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request is one for files or batches; a file is uploaded by a form."""
        match = _PATHS.fullmatch(path.partition("?")[0])
        is_upload = match is not None and method == "POST" and match[1] == "files"
        return match is not None and (not is_upload or "multipart/" in headers.get("content-type", ""))

    def made(self) -> list[dict[str, Any]]:
        """All batches, each with what its creation asked for and the `custom_ids` of its requests."""
        return [
            {**self._shown(each), "custom_ids": [line["custom_id"] for line in each.requests]}
            for each in self._batches.values()
        ]

    def reply(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> tuple[int, Any]:
        """Status and body of the response; a body that is no text is sent as JSON."""
        bare, _, query = path.partition("?")
        match = _PATHS.fullmatch(bare)
        assert match is not None
        kind, name, more = match.groups()
        if kind == "files":
            return self._file(method, name, more, headers, content)
        if method == "POST" and name is None:
            return self._create(json.loads(content))
        if name is None:
            return 200, self._list(query)
        batch = self._batches.get(name)
        if batch is None:
            return 404, _error(f"No batch found with id '{name}'.", "not_found")
        if more == "cancel":
            batch.cancelled = True
        return 200, self._shown(batch)

    def _file(
        self, method: str, name: str | None, more: str | None, headers: Mapping[str, str], content: bytes
    ) -> tuple[int, Any]:
        if method == "POST":
            number = f"file-{len(self._files) + 1}"
            self._files[number] = _uploaded(headers, content)
            return 200, {"id": number, "object": "file", "bytes": len(self._files[number]), "purpose": "batch"}
        if name not in self._files or more != "content":
            return 404, _error(f"No such File object: {name}", "not_found")
        return 200, self._files[name].decode()

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        self._creations += 1
        if self._creations <= self._script.refused:
            return 500, _error("The server had an error", "server_error")
        content = self._files.get(body["input_file_id"])
        if content is None:
            return 400, _error("Invalid input_file_id", "invalid_request")
        count = len(self._batches)
        end = self._script.ends[count] if count < len(self._script.ends) else "completed"
        lines = [json.loads(line) for line in content.decode().splitlines()]
        batch = _Batch(f"batch_{count + 1}", time.time(), body, lines, end)
        self._batches[batch.id] = batch
        if self._creations <= self._script.refused + self._script.dropped:
            return 502, _error("bad gateway", "server_error")
        return 200, self._shown(batch)

    def _list(self, query: str) -> dict[str, Any]:
        asked = dict(each.split("=", 1) for each in query.split("&") if "=" in each)
        shown = [each for each in self._batches.values() if time.time() - each.created >= self._script.hidden_s]
        shown.reverse()
        if (after := asked.get("after")) is not None:
            shown = shown[[each.id for each in shown].index(after) + 1 :]
        limit = int(asked.get("limit", 20))
        page = [self._shown(each) for each in shown[:limit]]
        return {
            "object": "list",
            "data": page,
            "has_more": len(shown) > limit,
            "last_id": page[-1]["id"] if page else None,
        }

    def _shown(self, batch: _Batch) -> dict[str, Any]:
        over = batch.cancelled or time.time() - batch.created >= self._script.takes_s
        status = ("cancelled" if batch.cancelled else batch.end) if over else "in_progress"
        if over and not batch.files and status != "failed":
            self._answer(batch, status)
        most = self._script.takes_s + self._script.late_s
        late = self._script.late_s > 0 and time.time() - batch.created < most
        total = len(batch.requests)
        counts = {"total": total, "completed": 0, "failed": 0}
        if over and status != "failed":
            counts["completed"] = self._files[batch.files["output"]].count(b"\n")
            counts["failed"] = self._files[batch.files["error"]].count(b"\n")
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.body.get("endpoint"),
            "input_file_id": batch.body.get("input_file_id"),
            "completion_window": batch.body.get("completion_window"),
            "status": status,
            "errors": {"object": "list", "data": list(self._script.errors)} if status == "failed" else None,
            "output_file_id": None if late else batch.files.get("output"),
            "error_file_id": None if late else batch.files.get("error"),
            "created_at": int(batch.created),
            "request_counts": counts,
            "metadata": batch.body.get("metadata"),
        }

    def _answer(self, batch: _Batch, status: str) -> None:
        """Write the output and the error file, the answers in the reverse order of the requests."""
        most = len(batch.requests) if status == "completed" or self._script.answered is None else self._script.answered
        output: list[Any] = []
        errors: list[Any] = []
        for place, line in reversed([*enumerate(batch.requests)]):
            told: dict[str, Any] = {"id": f"batch_req_{place}", "custom_id": line["custom_id"]}
            if place >= most:
                code = "batch_expired" if status == "expired" else "batch_cancelled"
                errors.append({**told, "response": None, "error": {"code": code, "message": "not executed"}})
                continue
            code_of, body = self._answered(line["url"], line["body"])
            response = {"status_code": code_of, "request_id": told["id"], "body": body}
            (output if code_of == 200 else errors).append({**told, "response": response, "error": None})
        for kind, lines in (("output", output), ("error", errors)):
            batch.files[kind] = f"{batch.id}-{kind}"
            self._files[batch.files[kind]] = "".join(json.dumps(each) + "\n" for each in lines).encode()


def _uploaded(headers: Mapping[str, str], content: bytes) -> bytes:
    """The file of a form: what its one part with a file name holds."""
    match = _BOUNDARY.search(headers.get("content-type", ""))
    assert match is not None, "a file is uploaded as multipart/form-data"
    for part in content.split(b"--" + match[1].encode()):
        head, _, body = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            return body.removesuffix(b"\r\n")
    raise ValueError("the form has no file")


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": code, "code": code, "param": None}}
