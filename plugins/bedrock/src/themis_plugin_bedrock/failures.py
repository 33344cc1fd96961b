"""What the SDK's exceptions mean: a stable code, and whether to try again.

Exceptions are told apart by the names of their classes, so that the SDK is not imported for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from themis_core import EngineError
from themis_http import Redaction, retry_after

__all__ = ["failure_of"]

CODES: Final[dict[str, tuple[str, bool]]] = {
    "AccessDeniedException": ("forbidden", False),
    "AccessDenied": ("forbidden", False),
    "OptInRequired": ("forbidden", False),
    "UnrecognizedClientException": ("unauthorized", False),
    "InvalidSignatureException": ("unauthorized", False),
    "SignatureDoesNotMatch": ("unauthorized", False),
    "IncompleteSignature": ("unauthorized", False),
    "InvalidClientTokenId": ("unauthorized", False),
    "MissingAuthenticationToken": ("unauthorized", False),
    "MissingAuthenticationTokenException": ("unauthorized", False),
    "ExpiredToken": ("unauthorized", False),
    "ExpiredTokenException": ("unauthorized", False),
    "NotAuthorized": ("unauthorized", False),
    "ResourceNotFoundException": ("not_found", False),
    "ServiceQuotaExceededException": ("quota_exhausted", False),
    "ThrottlingException": ("rate_limited", True),
    "Throttling": ("rate_limited", True),
    "TooManyRequestsException": ("rate_limited", True),
    "RequestLimitExceeded": ("rate_limited", True),
    "ModelNotReadyException": ("overloaded", True),
    "ServiceUnavailableException": ("overloaded", True),
    "ServiceUnavailable": ("overloaded", True),
    "ModelTimeoutException": ("server_error", True),
    "ModelErrorException": ("server_error", True),
    "ModelStreamErrorException": ("server_error", True),
    "InternalServerException": ("server_error", True),
    "InternalFailure": ("server_error", True),
    "RequestTimeout": ("server_error", True),
    "RequestTimeoutException": ("server_error", True),
    "ConflictException": ("server_error", True),
    "RequestEntityTooLargeException": ("too_large", False),
    "ValidationException": ("bad_request", False),
    "ValidationError": ("bad_request", False),
    "SerializationException": ("bad_request", False),
    "UnknownOperationException": ("not_found", False),
}
"""Codes of errors that the service answers with."""
STATUSES: Final[dict[int, tuple[str, bool]]] = {
    401: ("unauthorized", False),
    403: ("forbidden", False),
    404: ("not_found", False),
    408: ("server_error", True),
    413: ("too_large", False),
    424: ("server_error", True),
    429: ("rate_limited", True),
    503: ("overloaded", True),
}
_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(words, re.IGNORECASE), code)
    for words, code in (
        (r"per[ -]day|daily", "quota_exhausted"),
        (r"(?:input|prompt) is too long|too many input tokens|context (?:length|window|limit)", "context_length"),
        (r"input length.{0,40}exceed|maximum (?:input|context)", "context_length"),
        (r"content filter|blocked by (?:our |the )?content|content polic", "content_filter"),
        (r"model identifier is invalid|could not resolve the foundation model", "not_found"),
        (r"model .{0,80}(?:not found|end of its life)", "not_found"),
    )
)
"""What the message says where the code says no more than that something is wrong."""
MAY_HAVE_ANSWERED: Final = frozenset({"ModelTimeoutException", "RequestTimeout", "RequestTimeoutException"})

TRANSPORT: Final[dict[str, tuple[str, bool, bool]]] = {
    "ConnectTimeoutError": ("timeout", True, False),
    "ReadTimeoutError": ("timeout", True, True),
    "EndpointConnectionError": ("unreachable", True, False),
    "ProxyConnectionError": ("proxy", True, False),
    "SSLError": ("tls", False, False),
    "ConnectionClosedError": ("connection", True, True),
    "IncompleteReadError": ("connection", True, True),
    "ResponseStreamingError": ("connection", True, True),
    "ConnectionError": ("connection", True, True),
    "HTTPClientError": ("connection", True, True),
    "ResponseParserError": ("invalid_reply", True, True),
    "ParamValidationError": ("unsupported", False, False),
    "NoCredentialsError": ("unauthorized", False, False),
    "PartialCredentialsError": ("unauthorized", False, False),
    "CredentialRetrievalError": ("unauthorized", False, False),
    "TokenRetrievalError": ("unauthorized", False, False),
    "SSOError": ("unauthorized", False, False),
    "NoAuthTokenError": ("unauthorized", False, False),
    "RefreshWithMFAUnsupportedError": ("unauthorized", False, False),
    "BotoCoreError": ("bad_request", False, False),
}
"""Exceptions of the SDK itself: code, whether to try again, whether the model may have answered. A class stands for
those that derive from it."""


def failure_of(error: Exception, redaction: Redaction) -> EngineError | None:
    """What an exception of the SDK means; None if it is none that is known."""
    response = getattr(error, "response", None)
    if isinstance(response, dict) and isinstance(response.get("Error"), dict):
        return _answered(response, redaction)
    for kind in type(error).__mro__:
        if kind.__name__ in TRANSPORT and kind.__module__.startswith("botocore"):
            return _own(error, kind.__name__, redaction)
    return None


def _answered(response: Mapping[str, Any], redaction: Redaction) -> EngineError:
    told, metadata = response["Error"], response.get("ResponseMetadata") or {}
    name, said = str(told.get("Code") or ""), str(told.get("Message") or "")
    status = metadata.get("HTTPStatusCode")
    status = status if isinstance(status, int) else None
    code, again = CODES.get(name) or _by_status(status)
    if code in ("bad_request", "rate_limited"):
        for words, meant in _WORDS:
            if words.search(said[:4000]) and (code == "bad_request" or meant == "quota_exhausted"):
                code, again = meant, False
                break
    original = response.get("originalStatusCode")
    which = f"{name or 'an error'}{f' (the model answered {original})' if isinstance(original, int) else ''}"
    headers = {str(key).lower(): str(value) for key, value in (metadata.get("HTTPHeaders") or {}).items()}
    return EngineError(
        code,
        f"{redaction.message(which)}: {redaction.message(said) or 'the service gave no reason'}",
        retryable=again,
        retry_after=retry_after(status or 0, headers) if again else None,
        status=status,
        unknown_outcome=name in MAY_HAVE_ANSWERED or (status == 504 and name not in CODES),
    )


def _by_status(status: int | None) -> tuple[str, bool]:
    if status is None or status < 400:
        return "invalid_reply", True
    return STATUSES.get(status) or (("server_error", True) if status >= 500 else ("bad_request", False))


def _own(error: Exception, name: str, redaction: Redaction) -> EngineError:
    code, again, unknown = TRANSPORT[name]
    said = redaction.message(str(error))
    if code == "tls" and "certificate" in said.lower():
        code = "certificate"
    return EngineError(code, f"{type(error).__name__}: {said}", retryable=again, unknown_outcome=unknown)
