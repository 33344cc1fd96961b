"""What it means that the transport raised: a stable code, whether to try again, and what to do. No I/O.

With `connection` the only room that knows httpx and aiohttp, so it is imported when the first call is near.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from themis_core import EngineError
from themis_plugin_openai.redaction import Redaction

__all__ = ["FOREIGN", "transport_error"]

FOREIGN = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,
)
"""All that the transport may raise for what happens on the wire."""

_NOBODY_THERE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})
_MAY_PASS = frozenset(
    {"UNEXPECTED_EOF_WHILE_READING", "TLSV1_ALERT_INTERNAL_ERROR", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"}
)
_TLS_RECORDS = ("\\x15\\x03", "\x15\x03")
"""How a TLS alert begins, which is how a TLS server answers plain HTTP; aiohttp shows it escaped."""
_OTHER_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE")


class _Meaning(NamedTuple):
    code: str
    again: bool
    """Whether the same request may succeed later."""
    unknown: bool
    """Whether the server may have answered."""
    words: str


_Case = tuple[type[Exception] | tuple[type[Exception], ...], _Meaning]

# The first line that fits counts.
_MEANINGS: Final[tuple[_Case, ...]] = (
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch),
        _Meaning("certificate", False, False, "the server's certificate is not trusted"),
    ),
    (aiohttp.ClientProxyConnectionError, _Meaning("proxy", True, False, "the proxy can't be reached")),
    (
        (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, httpx.PoolTimeout),
        _Meaning("timeout", True, False, "no connection in time"),
    ),
    (
        aiohttp.ClientConnectorDNSError,
        _Meaning("unreachable", True, False, "there is no such host: correct base_url, or mend the name service"),
    ),
    (
        (aiohttp.ClientHttpProxyError, httpx.ProxyError),
        _Meaning("proxy", True, False, "the proxy makes no connection"),
    ),
    ((aiohttp.ClientConnectorError, httpx.ConnectError), _Meaning("connection", True, False, "no connection")),
    (
        (aiohttp.ServerTimeoutError, httpx.TimeoutException, TimeoutError),
        _Meaning("timeout", True, True, "no reply in time"),
    ),
    (
        (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, httpx.InvalidURL, httpx.UnsupportedProtocol),
        _Meaning("bad_request", False, False, "the address can't be called"),
    ),
    (
        (aiohttp.RedirectClientError, httpx.LocalProtocolError),
        _Meaning("bad_request", False, False, "the request can't be sent"),
    ),
    (
        (aiohttp.ClientResponseError, HttpProcessingError, httpx.ProtocolError, httpx.DecodingError),
        _Meaning("invalid_reply", True, True, "the reply is not HTTP"),
    ),
    (FOREIGN, _Meaning("connection", True, True, "the connection broke before the reply was complete")),
)

_WITHOUT_PROXY = frozenset({"unreachable", "connection", "timeout"})
"""How it ends where nothing but a proxy leads out of a network."""


def transport_error(error: Exception, redaction: Redaction, url: str = "", unused: str | None = None) -> EngineError:
    """Map what the transport raised when `url` was called, `unused` naming a proxy that is not gone through.

    aiohttp's exception, which is more exact, counts before httpx's: the transport calls every broken connection a
    ConnectTimeout.
    """
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    code, again, unknown, words = _special(cause, url) or _listed(cause)
    if unused and code in _WITHOUT_PROXY:
        words += f"; {unused} names a proxy that is not used: write `trust_env: true` in `extras` to go through it"
    name, details = type(cause).__name__, redaction.message(_details(cause))
    message = f"{words} ({name}: {details})" if details else f"{words} ({name})"
    mapped = EngineError(code, message, retryable=again, unknown_outcome=unknown)
    # aiohttp's ClientResponseError shows the request's headers, the key among them.
    if not isinstance(cause, aiohttp.ClientResponseError) and redaction.clean(f"{error} {error!r} {cause!r}"):
        mapped.__cause__ = error
    return mapped


def _listed(cause: BaseException) -> _Meaning:
    return next(meaning for kinds, meaning in _MEANINGS if isinstance(cause, kinds))


def _special(cause: BaseException, url: str) -> _Meaning | None:
    """What more than the class of an exception tells."""
    looks: tuple[Callable[[BaseException, str], _Meaning | None], ...] = (_of_tls, _of_nobody, _of_proxy, _of_https)
    return next((meaning for look in looks if (meaning := look(cause, url)) is not None), None)


def _of_tls(cause: BaseException, url: str) -> _Meaning | None:
    problem = getattr(cause, "certificate_error", None) or getattr(cause, "os_error", None)
    if isinstance(problem, ssl.CertificateError):
        return _Meaning("certificate", False, False, _certificate(getattr(problem, "verify_code", 0)))
    if not isinstance(problem, ssl.SSLError) or isinstance(problem, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    reason = problem.reason or ""
    if reason in _NOT_TLS:
        words = "the server speaks no https at this port: write http: in base_url, or correct the port"
        return _Meaning("tls", False, False, words)
    if not reason or reason in _MAY_PASS:
        return None
    return _Meaning("tls", False, False, "client and server agree on no secure connection")


def _certificate(verify_code: int) -> str:
    match verify_code:
        case 10:
            return "the server's certificate has expired: it has to be renewed there"
        case 62 | 64:
            return "the server's certificate is for another name: write that name in base_url"
    words = "the server's certificate is not trusted: name the file of the authority that signed it in SSL_CERT_FILE"
    if not os.environ.get("SSL_CERT_FILE") and (others := [each for each in _OTHER_BUNDLES if os.environ.get(each)]):
        return f"{words}; {others[0]} is not read"
    return words


def _of_nobody(cause: BaseException, url: str) -> _Meaning | None:
    if isinstance(cause, aiohttp.ClientProxyConnectionError | aiohttp.ClientConnectorDNSError):
        return None
    number = getattr(getattr(cause, "os_error", None), "errno", None)
    if number not in _NOBODY_THERE:
        return None
    refused = "nobody listens there: start the server, or correct the port in base_url"
    words = refused if number == errno.ECONNREFUSED else "the host can't be reached: look at base_url and the network"
    return _Meaning("unreachable", True, False, words)


def _of_proxy(cause: BaseException, url: str) -> _Meaning | None:
    if not isinstance(cause, aiohttp.ClientHttpProxyError):
        return None
    words = f"the proxy makes no connection, it answers {cause.status}"
    if cause.status == 407:
        words += ": put the right user and password into the variable that names it"
    return _Meaning("proxy", cause.status >= 500 or cause.status == 429, False, words)


def _of_https(cause: BaseException, url: str) -> _Meaning | None:
    if not url.startswith("http:"):
        return None
    if isinstance(cause, aiohttp.ClientResponseError) and any(each in str(cause.message) for each in _TLS_RECORDS):
        return _Meaning("tls", False, False, "the server speaks https at this port: write https: in base_url")
    if isinstance(cause, aiohttp.ServerDisconnectedError) or getattr(cause, "errno", None) == errno.ECONNRESET:
        words = "the connection broke before the reply was complete; servers that speak https do that to http"
        return _Meaning("connection", True, True, words)
    return None


def _details(cause: BaseException) -> str:
    if isinstance(cause, aiohttp.ClientResponseError):
        return cause.message.partition("\n")[0]
    return str(cause)
