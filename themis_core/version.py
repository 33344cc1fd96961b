"""Which Themis this is."""

from __future__ import annotations

__all__ = ["version"]


def version() -> str:
    """The version of the installed distribution; `unknown` if there is none."""
    from contextlib import suppress

    from importlib_metadata import Distribution

    for found in Distribution.discover(name="themis-core"):
        with suppress(Exception):  # what an installation that was cut off has left, and which comes first on the path
            if version := found.metadata["Version"]:
                return str(version)
    return "unknown"
