"""What this plugin registers. The engine is imported when a spec names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Engine

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_engines(register: Callable[[str, type[Engine] | str], None]) -> None:
    register("json", "themis_plugin_http.engine:HttpJson")
