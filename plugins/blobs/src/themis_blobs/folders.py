"""Folders whose names are on stable storage."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["leave_out_of_git", "make_folder", "sync_folder"]


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those around it, and return the folders that got a new entry, nearest last: to be synced."""
    changed = []
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():  # and if it is a file, the error says so
            each.mkdir(exist_ok=True)
            changed.append(each.parent)
    return changed


def leave_out_of_git(folder: Path) -> None:
    """Have git leave out what is in a folder that was made for a store."""
    (folder / ".gitignore").write_text("# Made by Themis: a store is no source.\n*\n", "ascii")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: of what was made, renamed or removed there."""
    if os.name == "nt":  # Windows has no handle to a folder to sync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
