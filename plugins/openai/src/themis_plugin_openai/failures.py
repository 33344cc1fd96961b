"""What a status other than 200 means: a stable code, whether to try again, and after how long. No I/O."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from themis_core import EngineError
from themis_plugin_openai.redaction import Redaction

__all__ = ["error_message", "retry_after", "status_error"]

STATUSES: Final[dict[int, tuple[str, bool]]] = {
    400: ("bad_request", False),
    401: ("unauthorized", False),
    402: ("quota_exhausted", False),
    403: ("forbidden", False),
    404: ("not_found", False),
    408: ("server_error", True),
    409: ("server_error", True),
    413: ("too_large", False),
    422: ("bad_request", False),
    429: ("rate_limited", True),
    503: ("overloaded", True),
    529: ("overloaded", True),
}
"""Status to code and whether to try again; other 4xx are `bad_request`, other 5xx `server_error`."""
MAY_HAVE_ANSWERED = frozenset({502, 504, 520, 522, 524})
"""A gateway speaks, which does not know what the model did."""
LONGEST_WAIT: Final = 31 * 86_400.0
"""Seconds; what is longer is no wait but a mistake."""

# The words of OpenAI, Azure, vLLM, llama.cpp, TGI and OpenRouter.
_QUOTA = re.compile(r"insufficient_quota|billing_hard_limit|insufficient[ _](?:credit|fund|balance)", re.IGNORECASE)
_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|context (?:length|window|size)|maximum context|"
    r"maximum (?:input|model) length|max_model_len|prompt is too long|too many input tokens",
    re.IGNORECASE,
)
_FILTER = re.compile(r"content_filter|content_policy|ResponsibleAIPolicyViolation|moderation_blocked", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]{0,100}>([^<]{0,300})", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}


def status_error(status: int, headers: Mapping[str, str], content: bytes, redaction: Redaction) -> EngineError:
    """The error that a response with a status other than 200 stands for. Header names are in lower case."""
    if status < 300:
        message = f"HTTP {status}: not a reply to a request for an answer"
        return EngineError("invalid_reply", message, status=status)
    if status < 400:
        place = redaction.message(headers.get("location", "nowhere").partition("?")[0])
        message = f"HTTP {status}: redirects to {place}, which is never followed: correct base_url"
        return EngineError("invalid_reply", message, status=status)
    data = _json(content)
    code, again = _meaning(status, data)
    words = error_message(data) if data is not None else _words(content)
    said = redaction.message(words) or "the server gave no reason"
    return EngineError(
        code,
        f"HTTP {status}: {said}",
        retryable=again,
        retry_after=retry_after(status, headers) if again else None,
        status=status,
        unknown_outcome=status in MAY_HAVE_ANSWERED,
    )


def error_message(data: Any) -> str:
    """What an error body says in words; servers differ in where they put it."""
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return "; ".join(filter(None, map(error_message, data[:10])))
    if not isinstance(data, dict):
        return ""
    for name in ("error", "message", "detail", "msg", "error_message", "type", "code"):
        if text := error_message(data.get(name)):
            return text
    return ""


def retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, or None if it does not say.

    `retry-after-ms`, then `retry-after` (seconds or an HTTP date), then, with a 429 only, `x-ratelimit-reset-*` of
    the limit that has nothing remaining; if that is not said, the longer one.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _sensible(milliseconds / 1000)
    given = headers.get("retry-after")
    if given is not None:
        seconds = _number(given)
        return _sensible(_until(given) if seconds is None else seconds)
    return _until_reset(headers) if status == 429 else None


def _meaning(status: int, data: Any) -> tuple[str, bool]:
    code, again = STATUSES.get(status, ("server_error", True) if status >= 500 else ("bad_request", False))
    signs = _signs(data)
    if status in (400, 403, 429) and _QUOTA.search(signs):
        return "quota_exhausted", False
    if status in (400, 403, 422) and _FILTER.search(signs):
        return "content_filter", False
    if status in (400, 413, 422) and _CONTEXT.search(signs):
        return "context_length", False
    return code, again


def _signs(data: Any) -> str:
    """The texts of an error body that tell what kind of error it is."""
    error = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(error, dict):
        return error_message(data)[:4000]
    inner = error.get("innererror")
    codes = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    return " ".join(str(each) for each in (*codes, error_message(error)) if isinstance(each, str))[:4000]


def _json(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _words(content: bytes) -> str:
    text = content[:8000].decode("utf-8", "replace").strip()
    if not text.startswith("<"):
        return text
    title = _TITLE.search(text)
    return f"an HTML page, {title[1].strip()!r}" if title else "an HTML page"


def _until_reset(headers: Mapping[str, str]) -> float | None:
    waits: dict[str, float] = {}
    for kind in ("requests", "tokens"):
        wait = _duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if wait is not None:
            waits[kind] = wait
    used_up = [waits[kind] for kind in waits if (_number(headers.get(f"x-ratelimit-remaining-{kind}")) or 0) <= 0]
    return _sensible(max(used_up or waits.values(), default=None))


def _duration(text: str | None) -> float | None:
    """Seconds of `1s`, `6m0s`, `20ms` or a plain number."""
    text = (text or "").strip().lower()
    if not text or len(text) > 40 or _DURATION.sub("", text):
        return None
    return sum(float(number) * _SECONDS[unit or None] for number, unit in _DURATION.findall(text))


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _sensible(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds) or seconds > LONGEST_WAIT:
        return None
    return max(0.0, seconds)
