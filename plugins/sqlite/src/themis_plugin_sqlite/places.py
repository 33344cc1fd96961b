"""Where the parts of a store lie in its folder."""

from __future__ import annotations

from typing import Final

__all__ = ["BLOBS", "FILE_NAME"]

FILE_NAME: Final = "themis.sqlite3"
BLOBS: Final = "blobs"
