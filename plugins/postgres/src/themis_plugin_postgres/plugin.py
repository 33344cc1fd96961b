"""The hooks of the plugin `postgres`."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import StorageBackend, hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_storage_backends(register: Callable[[str, type[StorageBackend]], None]) -> None:
    from themis_plugin_postgres.backend import PostgresBlobStorageSpec

    register("blob", PostgresBlobStorageSpec)
