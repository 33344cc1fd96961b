"""The plugin `show`: it has no component; its commands are declared in the distribution's metadata."""

from __future__ import annotations

THEMIS_CONTRACT_VERSION = 1
