"""What a disk holds after a power cut, computed from the shim's record of writes and syncs.

The model is the strict one of POSIX: content is durable once its file was synced, a name once its folder was. Of the
rest either nothing survives, or a random part of it, in sectors, in any order. After a failed sync what it should have
made durable stays lost, whatever later syncs report, as on Linux.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["OPENED", "SYNCED", "WRITTEN", "FAILED", "Operation", "after_power_cut", "read_trace"]

OPENED, WRITTEN, TRUNCATED, SYNCED, RENAMED, REMOVED, FOLDER, FAILED, LINKED = range(1, 10)
SECTOR: Final = 512
_HEAD: Final = struct.Struct("<IIQQQQ")


@dataclass(frozen=True, slots=True)
class Operation:
    """One record: `offset` and `length` mean what the shim's C says for the kind."""

    kind: int
    path: Path
    inode: int
    offset: int
    length: int
    data: bytes


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray, repr=False)
    pending: list[Operation] = field(default_factory=list, repr=False)


class _Disk:
    def __init__(self) -> None:
        self.files: dict[int, _File] = {}
        """By inode."""
        self.names: dict[Path, _File | None] = {}
        """Durable names; None for a folder."""
        self.pending: list[tuple[Path, Operation, _File | None]] = []
        """Changes of names that their folder's sync has not confirmed, each with that folder."""


def read_trace(path: Path) -> Iterator[Operation]:
    """The operations in their order; a record that the kill cut off at the end is left out."""
    data = path.read_bytes()
    at = 0
    while at + _HEAD.size <= len(data):
        kind, path_len, inode, offset, length, data_len = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        end = at + path_len + data_len
        if end > len(data):
            return
        name = data[at : at + path_len].decode()
        yield Operation(kind, Path(name), inode, offset, length, data[at + path_len : end])
        at = end


def after_power_cut(
    operations: list[Operation], root: Path, target: Path, *, keep: float = 0.0, draw: random.Random
) -> None:
    """Write to `target` what was the folder `root`, had the power gone after these operations.

    `keep` is the probability, in [0, 1], with which a sector or name that was not synced survives.
    """
    disk = _Disk()
    for each in operations:
        _apply(disk, each)
    for _, change, file in disk.pending:
        if draw.random() < keep:
            _rename(disk.names, change, file)
    target.mkdir(parents=True)
    made = {each.path for each in operations if each.kind == FOLDER}
    for folder in {path.parent for path in disk.names} - made:  # those were there before
        (target / folder.relative_to(root)).mkdir(parents=True, exist_ok=True)
    for path, file in sorted(disk.names.items(), key=lambda each: len(each[0].parts)):
        there = target / path.relative_to(root)
        if not there.parent.is_dir() or path.name.endswith("-shm"):
            continue  # its folder's name was lost; or shared memory, which no reboot survives
        if file is None:
            there.mkdir(exist_ok=True)
        else:
            there.write_bytes(_survivor(file, keep, draw))


def _apply(disk: _Disk, each: Operation) -> None:
    if each.kind == OPENED and (each.offset or each.inode not in disk.files):
        disk.files[each.inode] = _File()
        if each.offset:
            disk.pending.append((each.path.parent, each, disk.files[each.inode]))
    if each.kind in (WRITTEN, TRUNCATED) or (each.kind == OPENED and each.length):
        disk.files[each.inode].pending.append(each)
    elif each.kind in (RENAMED, LINKED, REMOVED, FOLDER):
        disk.pending.append((each.path.parent, each, None))
    elif each.kind == SYNCED:
        _sync(disk, each)


def _sync(disk: _Disk, each: Operation) -> None:
    file = disk.files.get(each.inode)
    if file is not None:
        if each.length:
            for change in file.pending:
                _change(file.durable, change)
        file.pending.clear()
    if each.length:
        waiting = disk.pending
        disk.pending = [change for change in waiting if change[0] != each.path]
        for folder, change, of in waiting:
            if folder == each.path:
                _rename(disk.names, change, of)


def _rename(names: dict[Path, _File | None], change: Operation, file: _File | None) -> None:
    if change.kind == OPENED:
        names[change.path] = file
    elif change.kind == FOLDER:
        names[change.path] = None
    elif change.kind == REMOVED:
        names.pop(change.path, None)
    elif change.path in names:
        names[Path(change.data.decode())] = names[change.path]
        if change.kind == RENAMED:
            del names[change.path]


def _change(content: bytearray, change: Operation) -> None:
    if change.kind != WRITTEN:
        length = 0 if change.kind == OPENED else change.length
        content[length:] = b"" if length <= len(content) else bytes(length - len(content))
        return
    if change.offset > len(content):
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _survivor(file: _File, keep: float, draw: random.Random) -> bytes:
    """The durable content, and of each later write the sectors that chance lets reach the disk."""
    content = bytearray(file.durable)
    for each in file.pending:
        if each.kind != WRITTEN:
            if draw.random() < keep:
                _change(content, each)
            continue
        start = 0
        while start < len(each.data):
            end = min(len(each.data), (each.offset + start) // SECTOR * SECTOR + SECTOR - each.offset)
            if draw.random() < keep:
                part = Operation(WRITTEN, each.path, each.inode, each.offset + start, 0, each.data[start:end])
                _change(content, part)
            start = end
    return bytes(content)
