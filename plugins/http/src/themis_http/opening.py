"""Which carrier a config names. Its library is imported when it is opened, which is when the first call is near."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias

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
        _import_for_good("pyreqwest.client")
        from themis_http.over_pyreqwest import PyreqwestCarrier

        return PyreqwestCarrier(way)
    except ImportError as error:
        raise PluginError(f"{_missing(name)} ({error})") from error


def _import_for_good(module: str) -> None:
    """Import a module in a thread that never ends.

    pyreqwest's allocator gives the thread that loads it a part that later threads build on. Once that thread has ended,
    as one does in which a program called `run`, the next native thread ends the process with a segmentation fault.
    """
    with _IMPORTING:
        if module in sys.modules or threading.current_thread() is threading.main_thread():
            import_module(module)
            return
        imported = threading.Event()
        failed: list[ImportError] = []
        threading.Thread(
            target=_import_and_stay, args=(module, imported, failed), name=f"themis-{module}", daemon=True
        ).start()
        imported.wait()
    if failed:
        raise failed[0]


_IMPORTING: Final = threading.Lock()


def _import_and_stay(module: str, imported: threading.Event, failed: list[ImportError]) -> None:
    try:
        import_module(module)
    except ImportError as error:
        failed.append(error)
        return
    finally:
        imported.set()
    threading.Event().wait()


def _missing(name: CarrierName) -> str:
    if name == "httpx":
        return "themis-http: httpx can't be imported: install it, or leave out `http_client`"
    return (
        "themis-http: pyreqwest, which carries requests, can't be imported: install it, or write "
        "`http_client: httpx` in `extras` where there is no wheel of it for the platform"
    )
