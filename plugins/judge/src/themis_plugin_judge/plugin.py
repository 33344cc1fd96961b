"""The hooks of the plugin `judge`."""

from __future__ import annotations

THEMIS_CONTRACT_VERSION = 1
