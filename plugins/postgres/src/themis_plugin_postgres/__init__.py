"""The storage backend `postgres`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from themis_plugin_postgres.backend import PostgresBlobStorageSpec

__all__ = ["PostgresBlobStorageSpec"]


def __getattr__(name: str) -> Any:
    # On first use (PEP 562): a plugin that is only listed imports nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from themis_plugin_postgres import backend

    return getattr(backend, name)
