"""What a status other than 200, or an error within a 200, means: a stable code, and whether to try again. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from themis_core import EngineError
from themis_http.dialect import Dialect
from themis_http.redaction import Redaction
from themis_http.waits import asks_to_come_back, retry_after, violations

__all__ = ["error_message", "inner_error", "status_error"]

USUAL: Final = Dialect()
MOST_NESTED: Final = 20
"""How deep in a body the words of an error are looked for."""
STATUSES: Final[dict[int, tuple[str, bool]]] = {
    400: ("bad_request", False),
    401: ("unauthorized", False),
    402: ("quota_exhausted", False),
    403: ("forbidden", False),
    404: ("not_found", False),
    407: ("proxy", False),
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

# The words of OpenAI, Azure, Anthropic, xAI, Moonshot, DeepSeek, Zhipu, Alibaba, Google, LiteLLM and Hugging Face.
_QUOTA = re.compile(
    r"insufficient[ _](?:quota|credit|fund|balance)|billing_(?:hard_limit|not_active)|exceeded_current_quota|"
    r"credit balance is too low|(?:used(?: up)? all|run out|out) (?:of )?(?:your |the )?(?:available )?credits|"
    r"(?:monthly|spend(?:ing)?|billing|credit) limit|usage limits?\. you will regain|budget.?(?:has been )?exceeded|"
    r"exceeded your monthly|(?:calls|requests) ?(?:/|per) ?month|PerDayPer|arrear|overdue|account (?:is )?suspended|"
    r"\u4f59\u989d\u4e0d\u8db3|\u6b20\u8d39",
    re.IGNORECASE,
)
_PERHAPS_QUOTA = re.compile(r"exceeded your current quota|(?:out of|no more|used up(?: your)?) quota", re.IGNORECASE)
"""Google says the same of a limit per minute, and then says when to come back."""
_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|context (?:length|window|size)|maximum context|"
    r"maximum (?:input|model) length|max_model_len|prompt is too long|too many input tokens",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content_filter|content_policy|ResponsibleAIPolicyViolation|moderation_blocked|requires moderation|"
    r"data_?inspection_?failed|content exists risk|PROHIBITED_CONTENT|content violates usage",
    re.IGNORECASE,
)
_TO_HTTPS = re.compile(r"http request (?:was sent )?to (?:an )?https (?:port|server)", re.IGNORECASE)
_USER = re.compile(r"//[^/]*@")
_UNKNOWN_MODEL = re.compile(r"model.{0,100}(?:not|no) |(?:no|unknown) (?:such )?model|model_not_found", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]{0,100}>([^<]{0,300})", re.IGNORECASE)


_CODES: Final = ("type", "code", "status", "error_code", "status_code")
_WORDS_OF_STATUS: Final = tuple(
    (re.compile(words, re.IGNORECASE), status)
    for words, status in (
        (r"rate_?limit|too_?many_?requests|resource_?exhausted|throttl|^1302$|^1305$", 429),
        (r"overloaded|unavailable|over_?capacity", 503),
        (r"authenticat|unauthori[sz]ed|invalid_?(?:api_?)?key|invalid_?token", 401),
        (r"insufficient_(?:quota|balance|credits)|payment_?required|billing", 402),
        (r"permission|forbidden|access_?denied", 403),
        (r"not_?found", 404),
        (r"too_?large", 413),
        (r"invalid_?(?:request|argument|parameter)|bad_?request|unprocessable|unsupported", 400),
        (r"time_?out|deadline_?exceeded", 504),
        (r"(?:server|internal|engine|api|upstream)_?error|^internal$", 500),
    )
)
"""What stands for a status in the codes and types of errors that name none."""


def inner_error(
    data: Any, headers: Mapping[str, str], redaction: Redaction, url: str = "", dialect: Dialect = USUAL
) -> EngineError:
    """The error that the body of a 200 is, with the code and the retry rule of the status that it stands for."""
    status = _inner_status(data)
    told = dialect.meaning(status or 400, data)
    code, again = told or _meaning(status or 400, data)
    if told is None and status is None and code == "bad_request":  # it may be anything, and may pass
        code, again = "invalid_reply", True
    words = redaction.message(error_message(data)) or "it gives no reason"
    called = f" (called: {redaction.message(url)})" if url and status == 404 else ""
    return EngineError(
        code,
        f"a 200 with an error in it{f' (code {status})' if status else ''}: {words}{called}",
        retryable=again,
        retry_after=retry_after(status or 200, headers, data) if again else None,
        status=status or 200,
        unknown_outcome=status in MAY_HAVE_ANSWERED,
        usage=dialect.read_usage(data),
    )


def _inner_status(data: Any) -> int | None:
    error = data.get("error", data) if isinstance(data, dict) else data
    of_both = [each for each in (error, data) if isinstance(each, dict)]
    given = [each.get(name) for each in of_both for name in ("code", "status", "status_code", "error_code", "type")]
    for each in given:
        number = int(each) if isinstance(each, str) and each.isdecimal() and len(each) == 3 else each
        if isinstance(number, int | float) and 400 <= number <= 599:
            return int(number)
    for each in filter(lambda it: isinstance(it, str), given):
        for words, status in _WORDS_OF_STATUS:
            if words.search(str(each)[:200]):
                return status
    return None


def status_error(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    redaction: Redaction,
    url: str = "",
    dialect: Dialect = USUAL,
) -> EngineError:
    """The error that a response with a status other than 200 stands for. Header names are in lower case.

    `url` is what was called.
    """
    if status < 300:
        message = f"HTTP {status}: not a reply to a request for an answer"
        return EngineError("invalid_reply", message, status=status)
    if status < 400:
        return _redirect(status, headers.get("location", ""), redaction, url)
    data = _json(content)
    code, again = dialect.meaning(status, data) or _meaning(status, data)
    words = error_message(data) if data is not None else _words(content)
    if _TO_HTTPS.search(words):
        code, words = "tls", f"the server speaks https at this port: write https: in base_url ({words})"
    if status == 407:
        words = f"the proxy wants another user or password than the variable that names it gives ({words})"
    said = redaction.message(words) or "the server gave no reason"
    if status in (404, 405):
        hint = "" if _UNKNOWN_MODEL.search(_signs(data)) else dialect.path_hint(url)
        said = f"{said} (called: {redaction.message(url)}{hint})" if url else said
    return EngineError(
        code,
        f"HTTP {status}: {said}",
        retryable=again,
        retry_after=retry_after(status, headers, data) if again else None,
        status=status,
        unknown_outcome=status in MAY_HAVE_ANSWERED,
        usage=dialect.read_usage(data),
    )


def _redirect(status: int, location: str, redaction: Redaction, url: str) -> EngineError:
    bare = _USER.sub("//", re.split("[?#]", location, maxsplit=1)[0])  # what may be secret
    here = urlsplit(url)
    try:
        there = urlsplit(bare)
    except ValueError:
        there = urlsplit("")
    if re.search(r"log[-_]?in|sign[-_]?in|sso|oauth|saml|\bauth", bare, re.IGNORECASE):
        hint = "the server wants people to log in there: base_url has to be the address for programs, with its key"
    elif (there.scheme, there.hostname) == ("https", here.hostname) and here.scheme == "http":
        hint = "write https: in base_url"
    elif there.hostname in (None, here.hostname):
        hint = "correct the path in base_url"
    else:
        hint = "correct base_url, if that host is the one that is meant"
    message = f"HTTP {status}: redirects to {redaction.message(bare) or 'nowhere'}, which is never followed: {hint}"
    return EngineError("redirect", message, status=status)


def error_message(data: Any, depth: int = MOST_NESTED) -> str:
    """What an error body says in words, as far as so deep; servers differ in where they put it."""
    if isinstance(data, str):
        return data
    if depth == 0:
        return ""
    if isinstance(data, list):
        return "; ".join(filter(None, (error_message(each, depth - 1) for each in data[:10])))
    if not isinstance(data, dict):
        return ""
    for name in ("error", "message", "detail", "msg", "error_message", "error_msg", "status_msg", "errors", *_CODES):
        if text := error_message(data.get(name), depth - 1):
            return text
    return ""


def _meaning(status: int, data: Any) -> tuple[str, bool]:
    code, again = STATUSES.get(status, ("server_error", True) if status >= 500 else ("bad_request", False))
    signs = _signs(data)
    if status < 500 and (_QUOTA.search(signs) or (_PERHAPS_QUOTA.search(signs) and not asks_to_come_back(data))):
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
    codes += [each.get("quotaId") for each in violations(error)]
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
