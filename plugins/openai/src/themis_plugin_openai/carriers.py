"""What carries requests: the two forms that a carrier and a reply have. It knows no library that does it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Final, NamedTuple, Protocol

from themis_plugin_openai.environment import Proxy
from themis_plugin_openai.transport_errors import Meaning

__all__ = ["KEEP_ALIVE_S", "Carrier", "Reply", "Way"]

KEEP_ALIVE_S: Final = 4.0
"""Less than the 5 s after which uvicorn, under most local model servers, closes an idle connection: a request sent
into one that is being closed is lost with an unknown outcome."""


class Way(NamedTuple):
    """Where requests go, and how."""

    url: str
    headers: Mapping[str, str]
    """Of each request, names in lower case."""
    connect_timeout_s: float
    proxy: Proxy | None = None
    """The only one: no carrier looks for proxies by itself."""


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
    """Connections to one address, kept alive between requests, opened as needed. Used from one event loop.

    There is no limit on their number and so no waiting for one: the caller decides how much is in flight. A carrier
    follows no redirect, keeps no cookie, unpacks nothing, and never sends a request a second time by itself unless
    nothing of it was written.
    """

    foreign: tuple[type[Exception], ...]
    """All that may be raised for what happens on the wire."""

    def send(self, body: bytes) -> Reply:
        """The reply to one POST, which is sent when it is entered."""

    def meaning(self, error: Exception) -> tuple[Meaning, str]:
        """What it means that this was raised, and what more is to be told of it."""

    async def close(self) -> None:
        """Close all connections."""
