"""The files that a job needs beside its image: the spec, and what it names, as a ConfigMap holds them."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from themis_core import SpecError, looks_like_a_key, path_kind, resolve_path
from themis_documents import read_source
from themis_loose import neighbours
from themis_plugin_shards.planned import Shards, utf8

__all__ = ["MOST_BYTES", "Carried", "carried"]

MOST_BYTES: Final = 1_000_000
"""Of all files together: a ConfigMap may have 1 MiB, names and YAML included."""
_LONGEST_PATH = 4_096
_WORD = re.compile(r"[^\s'\"`=,:;()<>\[\]{}]{16,}")


@dataclass(frozen=True)
class Carried:
    """Files by their place in the pod."""

    folder: PurePosixPath
    """Where they are mounted."""
    files: dict[str, bytes]
    """Content by path relative to it."""
    spec: PurePosixPath
    project: PurePosixPath | None
    absent: tuple[str, ...]
    """Files that the spec names by an absolute path: they have to be in the image, or on a volume."""

    def data(self) -> tuple[dict[str, str], dict[str, str], list[dict[str, str]]]:
        """`data`, `binaryData` and the `items` that give each key its path."""
        texts, bytes_, items = {}, {}, []
        for index, (path, content) in enumerate(self.files.items(), 1):
            key = f"{index}-{re.sub(r'[^-._a-zA-Z0-9]', '_', PurePosixPath(path).name)}"[:253]
            items.append({"key": key, "path": path})
            try:
                texts[key] = content.decode()
            except UnicodeDecodeError:
                bytes_[key] = base64.b64encode(content).decode()
        return texts, bytes_, items


def carried(shards: Shards, further: Sequence[Path], folder: PurePosixPath) -> Carried:
    """Gather the spec, the project, the files that they name, and further ones. Raises SpecError."""
    own = [shards.spec, *([shards.project] if shards.project else [])]
    named, absent = [], []
    for path in own:
        for text, file in _named_files(path, shards.options):
            if Path(text).is_absolute() or text.startswith("~"):
                absent.append(text)
            else:
                named += [file, *(neighbours(file).values() if file.suffix == ".py" else ())]
    for file in further:
        if path_kind(file) != "file":
            raise SpecError(f"--file {str(file)!r} is no file: name each file that the spec needs", path=str(file))
    paths = dict.fromkeys(utf8(Path(os.path.normpath(path.absolute()))) for path in (*own, *named, *further))
    root = Path(os.path.commonpath([path.parent for path in paths]))
    files = {path.relative_to(root).as_posix(): _read(path) for path in paths}
    _check_size(files)
    for name, content in files.items():
        _check_keys(name, content)

    def inside(path: Path) -> PurePosixPath:
        return folder / Path(os.path.normpath(path)).relative_to(root).as_posix()

    project = inside(shards.project) if shards.project else None
    return Carried(folder, files, inside(shards.spec), project, tuple(dict.fromkeys(absent)))


def _named_files(document: Path, options: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """What texts of a document, or of `--set`, are paths of files that are there; it was read before, so it can be."""
    for text in (*_texts(read_source(document).data), *(each.partition("=")[2] for each in options)):
        if not 0 < len(text) < _LONGEST_PATH or "\n" in text or "\0" in text:
            continue
        try:
            file = resolve_path(text, document.parent)
            if path_kind(file) == "file":
                yield text, file
        except SpecError:  # it is no path then, but a text
            continue


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(f"can't be read: {error.strerror or error}", path=str(path)) from error


def _check_keys(path: str, content: bytes) -> None:
    """Raise SpecError if a file holds a key: a ConfigMap is no place for it, and the manifest is read by many."""
    text = content.decode(errors="replace")
    if "PRIVATE KEY-----" in text or any(map(looks_like_a_key, _WORD.findall(text))):
        raise SpecError(
            f"{path} holds a key, or what looks like one, which would stand in the manifest: keep it in a Secret, or "
            "have the files on a volume (--claim) or in the image, and say where the spec is there (--at)"
        )


def _check_size(files: dict[str, bytes]) -> None:
    total = sum(map(len, files.values()))
    if total > MOST_BYTES:
        largest = max(files, key=lambda path: len(files[path]))
        raise SpecError(
            f"the spec and what goes with it ({len(files)} in all) have {total:,} bytes, {largest} alone "
            f"{len(files[largest]):,}, and a ConfigMap holds about {MOST_BYTES:,}: put them into the image or on a "
            "volume (--claim), and say where the spec is there (--at)"
        )
