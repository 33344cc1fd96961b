"""What carries requests: the two forms that a carrier and a reply have, and which carrier a config names.

It knows no library: each is imported when it is opened, which is when the first call is near.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from themis_core import PluginError
from themis_plugin_openai.environment import Proxy
from themis_plugin_openai.transport_errors import Meaning

__all__ = ["KEEP_ALIVE_S", "Carrier", "CarrierName", "Reply", "Way", "check_carrier", "open_carrier"]

CarrierName: TypeAlias = Literal["pyreqwest", "httpx"]
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


def check_carrier(name: CarrierName) -> None:
    """Raise PluginError if a carrier's package is not installed."""
    if find_spec(name) is None:
        raise PluginError(_missing(name))


def open_carrier(name: CarrierName, way: Way) -> Carrier:
    """The carrier of that name. Raises PluginError if it can't be imported."""
    try:
        if name == "httpx":
            from themis_plugin_openai.over_httpx import HttpxCarrier

            return HttpxCarrier(way)
        from themis_plugin_openai.over_pyreqwest import PyreqwestCarrier

        return PyreqwestCarrier(way)
    except ImportError as error:
        raise PluginError(f"{_missing(name)} ({error})") from error


def _missing(name: CarrierName) -> str:
    if name == "httpx":
        return "themis-plugin-openai: httpx can't be imported: install it, or leave out `http_client`"
    return (
        "themis-plugin-openai: pyreqwest, which carries requests, can't be imported: install it, or write "
        "`http_client: httpx` in `extras` where there is no wheel of it for the platform"
    )
