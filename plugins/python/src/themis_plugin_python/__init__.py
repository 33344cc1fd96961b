"""Your own Python code as an engine: a function, a coroutine function or a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from themis_plugin_python.steps import Steps as Steps

__all__ = ["Steps"]


def __getattr__(name: str) -> Any:
    # On first use: what a command doesn't need is not imported when it reads which engines there are.
    if name != "Steps":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from themis_plugin_python.steps import Steps

    return Steps
