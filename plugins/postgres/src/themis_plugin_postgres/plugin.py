"""The hooks of the plugin `postgres`."""

from __future__ import annotations

THEMIS_CONTRACT_VERSION = 1
