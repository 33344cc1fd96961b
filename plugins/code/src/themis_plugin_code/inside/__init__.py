"""What runs in the process that runs a program. It imports the standard library alone, and nothing of Themis."""

from __future__ import annotations

from typing import Final

__all__ = ["LIMITS"]

LIMITS: Final = ("cpu", "memory", "processes", "files", "network")
"""What a program is limited in."""
