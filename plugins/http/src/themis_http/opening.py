"""Which carrier a config names. Its library is imported when it is opened, which is when the first call is near."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, TypeAlias

from themis_core import PluginError
from themis_http.carriers import Carrier, Way

__all__ = ["CarrierName", "check_carrier", "open_carrier"]

CarrierName: TypeAlias = Literal["pyreqwest", "httpx"]


def check_carrier(name: CarrierName) -> None:
    """Raise PluginError if a carrier's package is not installed."""
    if find_spec(name) is None:
        raise PluginError(_missing(name))


def open_carrier(name: CarrierName, way: Way) -> Carrier:
    """The carrier of that name. Raises PluginError if it can't be imported."""
    try:
        if name == "httpx":
            from themis_http.over_httpx import HttpxCarrier

            return HttpxCarrier(way)
        from themis_http.over_pyreqwest import PyreqwestCarrier

        return PyreqwestCarrier(way)
    except ImportError as error:
        raise PluginError(f"{_missing(name)} ({error})") from error


def _missing(name: CarrierName) -> str:
    if name == "httpx":
        return "themis-http: httpx can't be imported: install it, or leave out `http_client`"
    return (
        "themis-http: pyreqwest, which carries requests, can't be imported: install it, or write "
        "`http_client: httpx` in `extras` where there is no wheel of it for the platform"
    )
