"""What a scripted model server says and does: answers, faults, a rate limit; and the bytes that come of it.

No sockets: `themis_core.testing.server` sends what is made here, in the protocol (`themis_core.testing.wires`) that the
path of a request is of. Standard library only, and little work per request, as benchmarks measure clients against it.
"""

from __future__ import annotations

import base64
import json
import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from themis_core.testing.batches import BatchScript
from themis_core.testing.judge_script import JudgeAnswers
from themis_core.testing.wires import Call, Wire, wire_of

__all__ = ["Call", "Fault", "Reply", "Script"]

PIECE = 65_536
REASONS = {200: "OK", 301: "Moved Permanently", 307: "Temporary Redirect", 429: "Too Many Requests"}

Ending = Literal["keep", "close", "abort", "stall"]


class Reply(NamedTuple):
    """What goes over the wire: pieces, each after a wait in seconds, and what becomes of the connection."""

    status: int
    pieces: Iterator[tuple[float, bytes]]
    ending: Ending = "keep"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong, and the requests it applies to (all, if no condition is given).

    A fault that only says how bytes are sent (`chunk`, `cut`, ...) does so to the normal answer.
    """

    at: tuple[int, ...] = ()
    """Ordinals."""
    every: int = 0
    """Each k-th request."""
    first: int = 0
    """The requests up to this ordinal."""
    match: str = ""
    """A text that the prompt contains."""
    share: tuple[float, float] | None = None
    """The requests whose own number, drawn from their ordinal and uniform in [0, 1), is in this half-open range."""
    status: int = 200
    headers: dict[str, Any] = field(default_factory=dict)
    """Added headers; None takes away one that would be sent, a list sends it several times."""
    error: dict[str, Any] | None = None
    """`error` object of the body: message, type, code; each protocol writes it as it does, with what more it knows."""
    body: Any = None
    """The whole body: a text, `{"base64": ...}`, `{"repeat": text, "times": n}`, or any other JSON value as JSON."""
    raw: str | None = None
    """The whole response, status line and all, as Latin-1."""
    redirect: str | None = None
    """Location to redirect to; the status is 307 unless one is given."""
    echo_authorization: bool = False
    """Whether the error message repeats the request's key."""
    gzip: bool = False
    """Whether the body is compressed, whatever the client accepts."""
    chunked: bool = False
    """Whether the body is sent in HTTP chunks, without its length."""
    latency_s: float | None = None
    """Instead of the script's."""
    chunk: int = 0
    """Bytes per write; 0 sends all at once."""
    pause_s: float = 0
    """Wait between writes."""
    cut: int | None = None
    """Bytes of the response, head included, that are sent; a negative number leaves out as many at the end."""
    ending: Ending | None = None
    """`close`, `abort` (a reset) or `stall` (silence) instead of going on; `close` if the response is cut."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fault:
        """Read what a script says. Raises ValueError for a key that there is not."""
        if unknown := data.keys() - {each.name for each in fields(cls)}:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        values = dict(data)
        at = values.get("at", ())
        values["at"] = (at,) if isinstance(at, int) else tuple(at)
        if (share := values.get("share")) is not None:
            low, high = share
            values["share"] = (float(low), float(high))
        return cls(**values)

    def applies(self, call: Call) -> bool:
        """Whether all conditions hold for a request."""
        return (
            (not self.at or call.ordinal in self.at)
            and (not self.every or call.ordinal % self.every == 0)
            and (not self.first or call.ordinal <= self.first)
            and self.match in call.prompt
            and (self.share is None or self.share[0] <= _number(call.ordinal) < self.share[1])
        )


_SOUND = Fault()


class Script:
    """Decides what is answered. Keys, all optional:

    - `latency_s`: seconds between the last byte of a request and the first of its answer (0).
    - `answers`: `{"rule": "echo"}` (the prompt itself), `{"rule": "constant", "output": ...}`, or `{"rule": "table",
      "files": [paths of JSONL], "rows": [...]}` with rows of `model` (none: any model), `prompt` and `output`. A row's
      prompt equals the request's prompt or one line of it. An output is a text, or an object with `content`,
      `reasoning`, `tool_calls`, `finish_reason` and what else the protocol knows: see its module.
      `{"rule": "judge", ...}` is described at `themis_core.testing.judge_script.JudgeAnswers`.
    - `faults`: a list of `Fault`s; the first that applies is done.
    - `bucket`: `{"rate": requests a second, "capacity": burst}`; beyond it, 429 with `Retry-After` in milliseconds and
      whole seconds, with `"told": "seconds"` in seconds only, with `"told": "nothing"` without it.
    - `api_key`: the key without which there is 401.
    - `usage`: whether token counts are sent (true).
    - `batches`: what becomes of batches, see `themis_core.testing.batches.BatchScript`.
    """

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        data = data or {}
        known = {"latency_s", "answers", "faults", "bucket", "api_key", "usage", "batches"}
        if unknown := data.keys() - known:
            raise ValueError(f"a script has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
        self.latency_s = float(data.get("latency_s", 0))
        self.api_key: str | None = data.get("api_key")
        self.batches = BatchScript.from_dict(data.get("batches") or {})
        self._usage = bool(data.get("usage", True))
        self._faults = [Fault.from_dict(each) for each in data.get("faults", ())]
        self._bucket = _Bucket(**data["bucket"]) if data.get("bucket") else None
        self._answers = dict(data.get("answers") or {"rule": "echo"})
        if self._answers["rule"] not in ("echo", "constant", "table", "judge"):
            raise ValueError(f"no rule {self._answers['rule']!r}: echo, constant, table or judge")
        self._judge = JudgeAnswers(self._answers) if self._answers["rule"] == "judge" else None
        self._table = _read_table(self._answers) if self._answers["rule"] == "table" else {}

    def models(self) -> dict[str, Any]:
        """The list of models that `/v1/models` gives."""
        names = sorted({model for model, _ in self._table if model}) or ["scripted"]
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}

    def reply(self, call: Call) -> Reply:
        """Make the response to one request."""
        wire = wire_of(call.path)
        fault = next((each for each in self._faults if each.applies(call)), _SOUND)
        if fault is _SOUND:
            return self._sound(wire, call)
        return _with_fault(fault, wire, call, self._sound_body, self.latency_s)

    def result(self, call: Call) -> tuple[int, Any]:
        """Status and body of the answer to a request that came in a batch: the faults' statuses and errors count."""
        wire = wire_of(call.path)
        fault = next((each for each in self._faults if each.applies(call)), _SOUND)
        if fault.status >= 300 or fault.error is not None:
            return fault.status, wire.error(fault.status, _error_object(fault, wire, call, fault.status))[0]
        status, body, _ = self._sound_body(wire, call)
        return status, body

    def _sound(self, wire: Wire, call: Call) -> Reply:
        if self._bucket and (wait := self._bucket.take()):
            limited = {"message": "rate limit reached", "code": "rate_limit"}
            body, headers = wire.error(429, limited)
            return simple_reply(429, body, self._bucket.headers(wait) | headers)
        if self.api_key and (key := wire.key(call.headers)) != self.api_key:
            status, (body, headers) = wire.unauthorized(key)
            return simple_reply(status, body, headers)
        status, body, headers = self._sound_body(wire, call)
        return simple_reply(status, body, headers, latency_s=self.latency_s)

    def _sound_body(self, wire: Wire, call: Call) -> tuple[int, Any, dict[str, str]]:
        if call.path.endswith("/models"):
            return 200, self.models(), {}
        output = self._output(call)
        if output is None:
            message = f"no recorded output of {call.model!r} for this prompt"
            return 400, *wire.error(400, {"message": message, "code": "no_output"})
        given = {"content": output} if isinstance(output, str) else output
        text = given.get("content")
        counts = (_tokens(call.prompt), _tokens(text if isinstance(text, str) else "")) if self._usage else None
        answer = wire.answer(call, given, counts)
        if (events := wire.events(call, answer)) is not None:
            return 200, "".join(events), {"Content-Type": "text/event-stream"}
        return 200, answer, {}

    def _output(self, call: Call) -> Any:
        """A text, an object, or None if there is none."""
        rule = self._answers["rule"]
        if self._judge is not None:
            return self._judge.output(call.messages, call.model)
        if rule == "echo":
            return call.prompt
        if rule == "constant":
            return self._answers["output"]
        for prompt in (call.prompt, *call.prompt.splitlines()):
            for model in (call.model, None):
                if (model, prompt) in self._table:
                    return self._table[model, prompt]
        return None


@dataclass(slots=True)
class _Bucket:
    """A token bucket: `rate` tokens a second, at most `capacity` saved up."""

    rate: float
    capacity: float
    told: Literal["milliseconds", "seconds", "nothing"] = "milliseconds"
    _level: float = math.inf
    _at: float = 0.0

    def take(self) -> float:
        """Take one token, or return the seconds until there is one."""
        now = time.monotonic()
        self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
        self._at = now
        if self._level < 1:
            return (1 - self._level) / self.rate
        self._level -= 1
        return 0.0

    def headers(self, wait: float) -> dict[str, int]:
        """What the refusal of a request says about when to come back."""
        if self.told == "nothing":
            return {}
        seconds = {"Retry-After": math.ceil(wait)}
        return seconds if self.told == "seconds" else seconds | {"retry-after-ms": math.ceil(wait * 1000)}


def _number(ordinal: int) -> float:
    # A multiplication by the golden ratio, mixed by its own high bits: uniform enough, and the same everywhere.
    mixed = ordinal * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ (mixed >> 32)) / 2**64


def simple_reply(status: int, body: Any, headers: Mapping[str, Any] | None = None, latency_s: float = 0) -> Reply:
    """A response that is sent whole; a text is sent as it is, all else as JSON."""
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else json.dumps(body).encode()
    return Reply(status, iter(((latency_s, _head(status, len(content), headers or {}) + content),)))


def _with_fault(fault: Fault, wire: Wire, call: Call, sound: Any, latency_s: float) -> Reply:
    latency_s = latency_s if fault.latency_s is None else fault.latency_s
    if fault.raw is not None:
        status, parts = fault.status, iter([fault.raw.encode("latin-1")])
    else:
        status, parts = _faulty_response(fault, wire, call, sound)
    if fault.cut is not None:
        parts = iter([b"".join(parts)[: fault.cut]])
    ending = fault.ending or ("keep" if fault.cut is None and fault.raw is None else "close")
    return Reply(status, _timed(_in_writes(parts, fault.chunk), latency_s, fault.pause_s), ending)


def _faulty_response(fault: Fault, wire: Wire, call: Call, sound: Any) -> tuple[int, Iterator[bytes]]:
    status, headers = fault.status, dict(fault.headers)
    if fault.redirect is not None:
        status = 307 if status == 200 else status
        headers.setdefault("Location", fault.redirect)
    if fault.body is not None:
        body = _parts(fault.body)
    elif status >= 300 or fault.error is not None:
        error, told = wire.error(status, _error_object(fault, wire, call, status))
        headers = told | headers
        body = _parts(error)
    else:
        status, answer, told = sound(wire, call)
        headers = told | headers
        body = _parts(answer)
    if fault.gzip:
        headers.setdefault("Content-Encoding", "gzip")
        body = _compressed(body)
    if fault.chunked:
        return status, _chunked(_head(status, None, headers | {"Transfer-Encoding": "chunked"}), body)
    whole = list(body)
    return status, iter([_head(status, sum(map(len, whole)), headers), *whole])


def _error_object(fault: Fault, wire: Wire, call: Call, status: int) -> dict[str, Any]:
    error = {"message": f"scripted status {status}"} | (fault.error or {})
    if fault.echo_authorization:
        error["message"] += f" (Authorization: {wire.key(call.headers)})"
    return error


def _parts(body: Any) -> Iterator[bytes]:
    if isinstance(body, str):
        yield body.encode("utf-8", "surrogatepass")
    elif isinstance(body, dict) and body.keys() == {"base64"}:
        yield base64.b64decode(body["base64"])
    elif isinstance(body, dict) and body.keys() == {"repeat", "times"}:
        unit = body["repeat"].encode()
        per_piece = max(1, PIECE // len(unit))
        full, rest = divmod(body["times"], per_piece)
        for _ in range(full):
            yield unit * per_piece
        yield unit * rest
    else:
        yield json.dumps(body).encode()


def _compressed(body: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for part in body:
        yield packer.compress(part)
    yield packer.flush()


def _chunked(head: bytes, body: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    for part in body:
        if part:
            yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def _in_writes(parts: Iterator[bytes], size: int) -> Iterator[bytes]:
    for part in parts:
        if not size:
            yield part
            continue
        for start in range(0, len(part), size):
            yield part[start : start + size]


def _timed(parts: Iterator[bytes], first: float, later: float) -> Iterator[tuple[float, bytes]]:
    for index, part in enumerate(parts):
        yield (later if index else first), part


def _head(status: int, length: int | None, headers: Mapping[str, Any]) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Scripted')}"]
    named: dict[str, Any] = {"Content-Type": "application/json"}
    if length is not None:
        named["Content-Length"] = length
    for name, value in (named | dict(headers)).items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        lines += [f"{name}: {each}" for each in values]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _tokens(text: str) -> int:
    return len(text) // 4 + 1


def _read_table(answers: Mapping[str, Any]) -> dict[tuple[str | None, str], Any]:
    table = {(row.get("model"), row["prompt"]): row["output"] for row in answers.get("rows", ())}
    for path in answers.get("files", ()):
        with Path(path).open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                table[row.get("model"), row["prompt"]] = row["output"]
    return table
