"""A schema version that does not exist yet, planted into the process: one more than there is, and a way to it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from themis_sql.layout import SCHEMA_VERSION
from themis_sql.migrations import Migration

__all__ = ["plant"]

_MODULES = ("themis_sql", "themis_sql.layout", "themis_sql.migrations", "themis_plugin_sqlite.database")


def plant(change: Callable[[Any, str, Any], None] = setattr) -> None:
    """Make this process one of the next version; `change` is `setattr`, or what undoes it after a test."""
    for name in _MODULES:
        module = importlib.import_module(name)
        if hasattr(module, "SCHEMA_VERSION"):
            change(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        if hasattr(module, "MIGRATIONS"):
            change(module, "MIGRATIONS", (*module.MIGRATIONS, Migration(SCHEMA_VERSION + 1)))
