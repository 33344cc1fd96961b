"""What errors of Google's make (google.rpc.Status with details) mean. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["error_within", "meaning", "path_hint"]

STATUSES: Final[dict[str, tuple[str, bool]]] = {
    "UNAUTHENTICATED": ("unauthorized", False),
    "PERMISSION_DENIED": ("forbidden", False),
    "NOT_FOUND": ("not_found", False),
    "FAILED_PRECONDITION": ("bad_request", False),
    "OUT_OF_RANGE": ("bad_request", False),
    "INVALID_ARGUMENT": ("bad_request", False),
    "UNIMPLEMENTED": ("unsupported", False),
    "RESOURCE_EXHAUSTED": ("rate_limited", True),
    "ABORTED": ("server_error", True),
    "CANCELLED": ("server_error", True),
    "INTERNAL": ("server_error", True),
    "UNKNOWN": ("server_error", True),
    "DATA_LOSS": ("server_error", True),
    "DEADLINE_EXCEEDED": ("server_error", True),
    "UNAVAILABLE": ("overloaded", True),
}
REASONS: Final = {
    "API_KEY_INVALID": "unauthorized",
    "API_KEY_EXPIRED": "unauthorized",
    "ACCESS_TOKEN_EXPIRED": "unauthorized",
    "CREDENTIALS_MISSING": "unauthorized",
    "BILLING_DISABLED": "quota_exhausted",
    "CONSUMER_SUSPENDED": "forbidden",
    "SERVICE_DISABLED": "forbidden",
}
"""Reasons of `ErrorInfo`, which say more than the status does."""
_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(words, re.IGNORECASE), code)
    for words, code in (
        (r"api key (?:not valid|not found|expired)|key was reported as leaked|unregistered callers", "unauthorized"),
        (r"input token count.{0,80}exceeds|exceeds the maximum number of tokens", "context_length"),
        (r"location is not supported", "forbidden"),
        (r"request payload size exceeds|exceeds the limit: \d+ bytes", "too_large"),
        (r"billing (?:account )?(?:is )?(?:not|disabled)|enable billing", "quota_exhausted"),
        (r"prompt (?:was|is) blocked|sensitive words|prohibited use policy", "content_filter"),
    )
)  # fmt: skip
_VERSION: Final = re.compile(r"/v\d")
_PER_DAY: Final = re.compile(r"PerDay|per[ _]day|per[ _]month|PerMonth", re.IGNORECASE)
_NOTHING_LEFT: Final = re.compile(r"\blimit: 0\b|credits are depleted|spending cap|spend limit", re.IGNORECASE)


def error_within(data: dict[str, Any]) -> Any:
    """The error that a 200 is; None if it is a reply."""
    return data if isinstance(data.get("error"), dict) else None


def meaning(status: int, data: Any) -> tuple[str, bool] | None:
    """The code of an error, and whether to try again; None if it does not say what it is, so that the status tells."""
    error = _error(data)
    if error is None:
        return None
    name = error.get("status")
    said = str(error.get("message") or "")[:4000]
    for detail in _details(error):
        if (code := REASONS.get(str(detail.get("reason")))) is not None:
            return code, False
    if name == "RESOURCE_EXHAUSTED":
        return ("quota_exhausted", False) if _is_used_up(error, said) else ("rate_limited", True)
    if name in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "PERMISSION_DENIED"):
        for words, code in _WORDS:
            if words.search(said):
                return code, False
    return STATUSES.get(name) if isinstance(name, str) else None


def _error(data: Any) -> dict[str, Any] | None:
    first = data[0] if isinstance(data, list) and data else data  # where a stream was asked for, errors come in a list
    error = first.get("error") if isinstance(first, dict) else None
    return error if isinstance(error, dict) else None


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from _objects(error.get("details"))


def _objects(listed: Any) -> Iterator[dict[str, Any]]:
    yield from (each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict))


def _is_used_up(error: dict[str, Any], said: str) -> bool:
    """Whether what is exhausted comes back in a day or never, and not within minutes."""
    if _NOTHING_LEFT.search(said):
        return True
    named = [
        str(violation.get(name))
        for detail in _details(error)
        for violation in _objects(detail.get("violations"))
        for name in ("quotaId", "description", "subject")
    ]
    metadata = [detail.get("metadata") for detail in _details(error)]
    named += [str(each["quota_limit"]) for each in metadata if isinstance(each, dict) and each.get("quota_limit")]
    return any(map(_PER_DAY.search, named or [said]))


def path_hint(url: str) -> str:
    """What may be wrong with the path of an address that was called, as a clause; empty if it looks right."""
    path = urlsplit(url).path
    if "/models/models/" in path or ":generateContent/" in path:
        return "; the engine appends /models/MODEL:generateContent: leave that out of base_url"
    return "" if _VERSION.search(path) else "; base_url ends with the interface's version, such as /v1beta"
