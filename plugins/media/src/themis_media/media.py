"""Images, sound and files that messages hold: read once, known by their content, put in as a message is sent.

A message holds a few characters, `sha256:…`, in the place of the Base64 of what is long. So what is made of messages,
such as keys, is of the content and does not grow with it, and memory holds it for the messages being sent alone.
"""

from __future__ import annotations

import re
import tempfile
import weakref
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from os import stat_result
from pathlib import Path, PurePath
from stat import S_ISREG
from typing import Any, Final

from themis_wording import did_you_mean, shown_path

__all__ = ["Media", "MediaChanged"]

MOST_BYTES: Final = 50 * 2**20
"""Bytes that one image, clip or file may have: more than providers take in one request."""
SHORT: Final = 4_096
"""Characters of Base64 that stay in a message."""
_DATA_URL: Final = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_HELD: Final = re.compile(r"((?:data:[^,]*,)?)sha256:([0-9a-f]{64})")
_PLACES: Final = {"image_url": "url", "input_audio": "data", "file": "file_data"}
"""Type of a part to the name under which it holds its data."""
_AUDIO: Final = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3", "audio/mp3": "mp3",
}  # fmt: skip
_BY_SUFFIX: Final = {
    ".csv": "text/csv", ".html": "text/html", ".json": "application/json", ".md": "text/markdown",
    ".pdf": "application/pdf", ".txt": "text/plain", ".xml": "text/xml",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
"""Of its own, as the tables of systems differ, and the type is part of the key."""


class MediaChanged(Exception):
    """A file is no longer what was read; the text says which."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What a part holds: its type, its data or what stands for it, and the name of its file."""

    media_type: str
    data: str
    name: str = ""

    @property
    def url(self) -> str:
        return f"data:{self.media_type};base64,{self.data}"


class Media:
    """What the parts of messages hold, each once by its content. False if that is nothing."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Path, str]] = {}
        """By SHA-256: a file that has the content, and its type."""
        self._read: dict[Path, tuple[stat_result, bytes, str]] = {}
        """Of each file as it was read: its state, how it begins, and what stands for its data."""
        self._folder: Path | None = None

    def __bool__(self) -> bool:
        return bool(self._held)

    def part(self, kind: str, given: str, folders: Sequence[Path], filename: str | None = None) -> dict[str, Any]:
        """The part of a message that holds what was given: a URL, or a path in one of the folders.

        Raises ValueError that says what is wrong with it.
        """
        given = given.strip()
        if not given:
            raise ValueError("it is empty: a path or a data: URL is needed")
        if kind == "image_url":
            return {"type": kind, kind: {"url": given if _passes(given) else self._piece(kind, given, folders).url}}
        if given.lower().startswith(("https:", "http:")):
            raise ValueError("sound and files are sent, and not fetched: download it, and give its path")
        piece = self._piece(kind, given, folders)
        if kind == "input_audio":
            return {"type": kind, kind: {"data": piece.data, "format": _AUDIO[piece.media_type]}}
        named = filename or piece.name or f"file{_suffix_of(piece.media_type)}"
        return {"type": kind, kind: {"filename": named, "file_data": piece.url}}

    def filled(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages with the data in them; they themselves if they hold none. Reads files. Raises MediaChanged."""
        if not _held_in(messages):
            return messages
        return [self._filled(message) for message in messages]

    def contents(self, messages: Sequence[Mapping[str, Any]], known: set[str]) -> Iterator[tuple[str, str, str]]:
        """SHA-256, type and Base64 of what some messages hold; the first of them joins those that are known.

        Reads files. Raises MediaChanged.
        """
        for key in _held_in(messages):
            if key in self._held and key not in known:
                media_type, data = self._held[key][1], self._data(key)
                known.add(key)
                yield key, media_type, data

    def _piece(self, kind: str, given: str, folders: Sequence[Path]) -> _Piece:
        if given.lower().startswith("data:"):
            return self._of_url(kind, given)
        path = _found(given, folders)
        begins, data = self._of_file(path)
        media_type = _type_of(kind, begins, path)
        if data.startswith("sha256:"):
            self._held[data[7:]] = path, media_type
        return _Piece(media_type, data, path.name)

    def _of_url(self, kind: str, given: str) -> _Piece:
        match = _DATA_URL.match(given)
        if match is None or not match[2].lower().endswith(";base64"):
            raise ValueError("this data: URL is not in Base64: write data:TYPE;base64,DATA")
        media_type = match[1].lower() or _UNKNOWN
        media_type = "image/jpeg" if media_type == "image/jpg" else media_type
        if kind == "input_audio" and media_type not in _AUDIO:
            raise ValueError(f"sound of the type {media_type} is neither WAV nor MP3: convert it")
        text = "".join(given[match.end() :].split())
        if len(text) > MOST_BYTES * 4 // 3 + 4:
            raise ValueError(_too_large(len(text) * 3 // 4))
        try:
            content = b64decode(text, validate=True)
        except ValueError as error:
            raise ValueError(f"what this data: URL holds is no Base64 ({error})") from None
        if not content:
            raise ValueError("this data: URL holds nothing")
        _check_content(kind, media_type, content[:1024])
        return _Piece(media_type, text if len(text) <= SHORT else self._keep(content, media_type))

    def _keep(self, content: bytes, media_type: str) -> str:
        """Write content that no file has to a temporary one, which lives as long as this does."""
        key = sha256(content).hexdigest()
        if key not in self._held:
            if self._folder is None:
                kept = tempfile.TemporaryDirectory(prefix="themis-media-")
                weakref.finalize(self, kept.cleanup)
                self._folder = Path(kept.name)
            path = self._folder / key
            path.write_bytes(content)
            self._held[key] = path, media_type
        return f"sha256:{key}"

    def _of_file(self, path: Path) -> tuple[bytes, str]:
        """How a file begins, and its data in Base64 or what stands for it; read again if it was written since."""
        state = path.stat()
        known = self._read.get(path)
        if known is not None and _same(known[0], state):
            return known[1:]
        if state.st_size > MOST_BYTES:
            raise ValueError(f"{shown_path(path)}: {_too_large(state.st_size)}")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{shown_path(path)} can't be read: {error.strerror or error}") from error
        if not content:
            raise ValueError(f"{shown_path(path)} is empty")
        text = b64encode(content).decode() if len(content) <= SHORT * 3 // 4 else None
        self._read[path] = state, content[:16], text or f"sha256:{sha256(content).hexdigest()}"
        return self._read[path][1:]

    def _filled(self, message: Mapping[str, Any]) -> dict[str, Any]:
        content = message.get("content")
        if not isinstance(content, list):
            return dict(message)
        return {**message, "content": [self._part_filled(part) for part in content]}

    def _part_filled(self, part: Any) -> Any:
        kind, match = _held(part)
        if match is None or match[2] not in self._held:
            return part
        return {**part, kind: {**part[kind], _PLACES[kind]: match[1] + self._data(match[2])}}

    def _data(self, key: str) -> str:
        path, _ = self._held[key]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MediaChanged(f"{shown_path(path)} can't be read: {error.strerror or error}") from error
        if sha256(content).hexdigest() != key:
            raise MediaChanged(f"{shown_path(path)} changed while it was used: leave it alone and run again")
        return b64encode(content).decode()


def _passes(given: str) -> bool:
    """Whether an image's URL is sent as it is: one that the provider fetches, or text, such as an SVG."""
    low = given[:200].lower()
    return low.startswith(("https:", "http:")) or (low.startswith("data:image/") and ";base64," not in low)


def _held(part: Any) -> tuple[str, re.Match[str] | None]:
    """The type of a part, and what stands in it for data, if anything does."""
    kind = str(part.get("type")) if isinstance(part, dict) else ""
    inner = part.get(kind) if kind in _PLACES else None
    data = inner.get(_PLACES[kind]) if isinstance(inner, dict) else None
    return kind, _HELD.fullmatch(data) if isinstance(data, str) and len(data) < SHORT else None


def _held_in(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = (part for each in messages if isinstance(each.get("content"), list) for part in each["content"])
    return [match[2] for part in parts if (match := _held(part)[1]) is not None]


def _found(given: str, folders: Sequence[Path]) -> Path:
    """The file that a path means. It lies beneath one of the folders: what a row of a dataset names is sent away."""
    if "\0" in given or len(given) > 4_096:
        raise ValueError(
            "it is neither a path nor a URL; what is in Base64 begins with its type, as in data:audio/wav;base64,"
        )
    folders = [Path(each).absolute() for each in dict.fromkeys(folders)]
    wanted = [Path(_plain(folder / given)) for folder in folders]
    inside = [path for path in wanted if any(path.is_relative_to(_plain(folder)) for folder in folders)]
    where = " or ".join(dict.fromkeys(shown_path(folder) for folder in folders))
    if not inside:
        raise ValueError(f"{given!r:.200} lies outside of {where}: only files beneath it are sent (a link will do)")
    if any(step.startswith(".") for step in PurePath(given).parts if step not in (".", "..", "/")):
        raise ValueError(f"{given!r:.200} is hidden, and hidden files are not sent: give it another name")
    for path in inside:
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ValueError(f"{given!r:.200} can't be looked at: {error.strerror or error}") from None
        if S_ISREG(mode):
            return path
        raise ValueError(f"{shown_path(path)} is no file")
    names = [each.name for path in inside if path.parent.is_dir() for each in path.parent.iterdir()]
    raise ValueError(f"no such file {given!r:.200} in {where}.{did_you_mean(PurePath(given).name, names)}")


def _plain(path: Path) -> Path:
    """The path without `..`, links not followed: those that the user made are meant."""
    import os.path

    return Path(os.path.normpath(path))


def _type_of(kind: str, begins: bytes, path: Path) -> str:
    found = _recognized(begins)
    if kind == "image_url" and not found.startswith("image/"):
        raise ValueError(f"{shown_path(path)} is no {_IMAGES}: convert it")
    if kind == "input_audio" and not found.startswith("audio/"):
        raise ValueError(f"{shown_path(path)} is neither WAV nor MP3: convert it")
    if kind == "file" and found != "application/pdf":
        return _BY_SUFFIX.get(path.suffix.lower(), _UNKNOWN)
    return found


def _check_content(kind: str, media_type: str, begins: bytes) -> None:
    """Refuse a `data:` URL that holds something else than it says: a provider would, or would take it for noise."""
    found = _recognized(begins)
    if kind == "image_url" and not found.startswith("image/"):
        raise ValueError(f"what this data: URL holds is no {_IMAGES}: convert it")
    if kind == "input_audio" and not found.startswith("audio/"):
        raise ValueError("what this data: URL holds is neither WAV nor MP3: convert it")
    if kind == "file":  # some PDFs begin with something else
        same = media_type != "application/pdf" or b"%PDF-" in begins
    else:
        same = _AUDIO.get(media_type, media_type) == _AUDIO.get(found, found)
    if not same:
        raise ValueError(f"this data: URL says {media_type}, and holds {found or 'something else'}")


def _recognized(begins: bytes) -> str:
    """The type of content by how it begins; empty if it is none that is known."""
    for start, media_type in _STARTS:
        if begins.startswith(start):
            return media_type
    if begins[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(begins[8:12], "")
    return "audio/mpeg" if begins[:1] == b"\xff" and begins[1:2] >= b"\xe0" else ""


_UNKNOWN: Final = "application/octet-stream"
_IMAGES: Final = "PNG, JPEG, GIF or WebP"
_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"),
    (b"ID3", "audio/mpeg"), (b"%PDF-", "application/pdf"),
)  # fmt: skip
"""How content begins, and its type."""


def _suffix_of(media_type: str) -> str:
    return next((suffix for suffix, each in _BY_SUFFIX.items() if each == media_type), "")


def _same(a: stat_result, b: stat_result) -> bool:
    return (a.st_ino, a.st_size, a.st_mtime_ns) == (b.st_ino, b.st_size, b.st_mtime_ns)


def _too_large(size: int) -> str:
    return f"it has {size / 2**20:.0f} MiB, and at most {MOST_BYTES // 2**20} can be sent"
