"""Regular expressions that users write: as in Python's `re`, what `regex` adds, and bounded in time."""

from themis_patterns.matching import Flag, Pattern, compile_pattern

__all__ = ["Flag", "Pattern", "compile_pattern"]
