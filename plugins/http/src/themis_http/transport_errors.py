"""What it means that a carrier raised: a stable code, whether to try again, and what to do. No I/O, and no carrier."""

from __future__ import annotations

import errno
import os
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from themis_core import EngineError
from themis_http.redaction import Redaction

__all__ = ["Meaning", "certificate", "proxy_refused", "system_error", "transport_error"]


class Meaning(NamedTuple):
    """What an exception of a carrier stands for."""

    code: str
    again: bool
    """Whether the same request may succeed later."""
    unknown: bool
    """Whether the server may have answered."""
    words: str


NO_CONNECTION: Final = Meaning("connection", True, False, "no connection")
NO_CONNECTION_IN_TIME: Final = Meaning("timeout", True, False, "no connection in time")
NO_SUCH_HOST: Final = Meaning(
    "unreachable", True, False, "there is no such host: correct base_url, or mend the name service"
)
NOBODY_LISTENS: Final = Meaning(
    "unreachable", True, False, "nobody listens there: start the server, or correct the port in base_url"
)
NO_WAY: Final = Meaning("unreachable", True, False, "the host can't be reached: look at base_url and the network")
NO_PROXY: Final = Meaning("proxy", True, False, "the proxy can't be reached")
NO_REPLY_IN_TIME: Final = Meaning("timeout", True, True, "no reply in time")
BAD_ADDRESS: Final = Meaning("bad_request", False, False, "the address can't be called")
NOT_SENT: Final = Meaning("bad_request", False, False, "the request can't be sent")
NOT_HTTP: Final = Meaning("invalid_reply", True, True, "the reply is not HTTP")
BROKEN: Final = Meaning("connection", True, True, "the connection broke before the reply was complete")
NOT_TLS: Final = Meaning(
    "tls", False, False, "the server speaks no https at this port: write http: in base_url, or correct the port"
)
NO_COMMON_TLS: Final = Meaning("tls", False, False, "client and server agree on no secure connection")

_OTHER_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE")
_WINSOCK = 10_000
"""Added by Windows to the numbers of such errors, which are those of BSD."""
_REFUSED = frozenset({errno.ECONNREFUSED, _WINSOCK + 61})
_NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, *(_WINSOCK + n for n in (51, 64, 65))})
_WITHOUT_PROXY = frozenset({"unreachable", "connection", "timeout"})
"""How it ends where nothing but a proxy leads out of a network."""
_PERHAPS_TLS = {
    BROKEN: "; servers that speak https do that to http",
    NOT_HTTP: "; servers that speak https answer http so: write https: in base_url if this one does",
}


def system_error(number: int | None) -> Meaning:
    """What the system's error means where no connection was made."""
    if number in _REFUSED:
        return NOBODY_LISTENS
    return NO_WAY if number in _NO_WAY else NO_CONNECTION


def proxy_refused(status: int | None) -> Meaning:
    """What it means that a proxy made no connection, and answered so."""
    words = "the proxy makes no connection" + (f", it answers {status}" if status else "")
    if status == 407:
        words += ": put the right user and password into the variable that names it"
    return Meaning("proxy", status is None or status >= 500 or status == 429, False, words)


def certificate(fault: str = "") -> Meaning:
    """What it means that the server's certificate is refused: `expired`, `name`, `authority`, or any other fault."""
    match fault:
        case "expired":
            words = "the server's certificate has expired: it has to be renewed there"
        case "name":
            words = "the server's certificate is for another name: write that name in base_url"
        case "authority":
            words = (
                "the server shows an authority's certificate as its own: have it make one for the server "
                "(`CA:FALSE`), or write `http_client: httpx` in `extras`, which takes it if SSL_CERT_FILE names it"
            )
        case _:
            words = (
                "the server's certificate is not trusted: name the file of the authority that signed it in "
                "SSL_CERT_FILE"
            )
    others = [each for each in _OTHER_BUNDLES if os.environ.get(each)]
    if others and not os.environ.get("SSL_CERT_FILE") and fault not in ("expired", "name"):
        words += f"; {others[0]} is not read"
    return Meaning("certificate", False, False, words)


def transport_error(
    error: Exception,
    meaning: Meaning,
    details: str,
    redaction: Redaction,
    *,
    first_at: str = "",
    unused: str | None = None,
) -> EngineError:
    """The EngineError that a carrier's exception becomes.

    `first_at` is the address if it never answered, and `unused` the variable that names a proxy which is not gone
    through.
    """
    words = meaning.words
    if first_at and not meaning.unknown and meaning.code != "proxy":
        details = f"{urlsplit(first_at).netloc}: {details}"
    if first_at.startswith("http:"):
        words += _PERHAPS_TLS.get(meaning, "")
    if unused and meaning.code in _WITHOUT_PROXY:
        words += f"; {unused} names a proxy that is not used: write `trust_env: true` in `extras` to go through it"
    name, details = type(error).__name__, redaction.message(details)
    message = f"{words} ({name}: {details})" if details else f"{words} ({name})"
    mapped = EngineError(meaning.code, message, retryable=meaning.again, unknown_outcome=meaning.unknown)
    if redaction.clean(f"{error} {error!r}"):
        mapped.__cause__ = error
    return mapped
