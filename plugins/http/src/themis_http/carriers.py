"""What carries requests: the two forms that a carrier and a reply have. It knows no library that does it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Final, NamedTuple, Protocol

from themis_http.environment import Proxy
from themis_http.transport_errors import Meaning

__all__ = ["JSON_TYPE", "KEEP_ALIVE_S", "Call", "Carrier", "Reply", "Way"]

KEEP_ALIVE_S: Final = 4.0
"""Less than the 5 s after which uvicorn, under most local model servers, closes an idle connection: a request sent
into one that is being closed is lost with an unknown outcome."""


JSON_TYPE: Final = ("content-type", "application/json")


class Way(NamedTuple):
    """Where requests go, and how."""

    url: str
    """Where most of them go, and all to its server."""
    headers: Mapping[str, str]
    """Of each request, names in lower case, without that of the body's type."""
    connect_timeout_s: float
    proxy: Proxy | None = None
    """The only one: no carrier looks for proxies by itself."""


class Call(NamedTuple):
    """A request that is no POST of JSON to the carrier's own address."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    """Beside those of each request, or in place of them, such as the body's type; names in lower case."""
    piecemeal: bool = False
    """Whether pieces of the reply are wanted as they come, and not when there are enough of them."""


class Reply(Protocol):
    """The reply to one request, entered when its head is there. Leaving it early closes its connection."""

    status: int

    def header(self, name: str) -> str:
        """The value of a header, whose name is given in lower case; empty if absent."""

    def headers(self) -> Mapping[str, str]:
        """All headers, names in lower case."""

    async def piece(self) -> bytes | None:
        """The next piece of the body as it came, not unpacked; None at its end."""

    async def __aenter__(self) -> Reply: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Carrier(Protocol):
    """Connections to one server, kept alive between requests, opened as needed. Used from one event loop.

    There is no limit on their number and so no waiting for one: the caller decides how much is in flight. A carrier
    follows no redirect, keeps no cookie, unpacks nothing, and never sends a request a second time by itself unless
    nothing of it was written.
    """

    foreign: tuple[type[Exception], ...]
    """All that may be raised for what happens on the wire."""

    def send(self, body: bytes | None, call: Call | None = None) -> Reply:
        """The reply to one request, which is sent when it is entered: without a call, a POST of JSON to the carrier's
        own address."""

    def meaning(self, error: Exception) -> tuple[Meaning, str]:
        """What it means that this was raised, and what more is to be told of it."""

    async def close(self) -> None:
        """Close all connections."""
