"""What parts of messages hold: read from files and URLs, known by content, put back as it is sent."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from themis_media import Media, MediaChanged
from themis_media import media as module

PNG = b"\x89PNG\r\n\x1a\n" + bytes(5_000)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20)
MP3 = b"ID3" + bytes(5_000)


def base64(content: bytes) -> str:
    return b64encode(content).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "a.png": PNG,
        "short.wav": WAV,
        "long.mp3": MP3,
        "notes.txt": b"Hello",
        "empty.pdf": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "sub").mkdir()
    return tmp_path


def held(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


@pytest.mark.parametrize(
    ("kind", "given", "inner"),
    [
        ("image_url", "a.png", {"url": f"data:image/png;base64,{held(PNG)}"}),
        ("image_url", "https://h.invalid/a.png", {"url": "https://h.invalid/a.png"}),
        ("image_url", "data:image/svg+xml,<svg/>", {"url": "data:image/svg+xml,<svg/>"}),
        ("image_url", f"data:image/png;base64,{base64(PNG)}", {"url": f"data:image/png;base64,{held(PNG)}"}),
        ("input_audio", "sub/../short.wav", {"data": base64(WAV), "format": "wav"}),
        ("input_audio", "long.mp3", {"data": held(MP3), "format": "mp3"}),
        ("input_audio", f"data:audio/x-wav;base64,{base64(WAV)}", {"data": base64(WAV), "format": "wav"}),
        ("file", "notes.txt", {"filename": "notes.txt", "file_data": "data:text/plain;base64,SGVsbG8="}),
        ("file", "data:application/pdf;base64,JVBERi0x",
         {"filename": "file.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}),
        ("file", "data:;base64,AAAA", {"filename": "file", "file_data": "data:application/octet-stream;base64,AAAA"}),
    ],
)  # fmt: skip
def test_a_part_holds_what_a_path_or_a_url_gives(folder: Path, kind: str, given: str, inner: dict[str, Any]) -> None:
    assert Media().part(kind, given, [folder]) == {"type": kind, kind: inner}


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("image_url", "b.png", "no such file 'b.png' in "),
        ("image_url", "A.png", "Did you mean 'a.png'?"),
        ("image_url", "notes.txt", "is no PNG, JPEG, GIF or WebP: convert it"),
        ("image_url", "../a.png", "lies outside of "),
        ("image_url", "/etc/passwd", "lies outside of "),
        ("image_url", "sub", "is no file"),
        ("image_url", " ", "it is empty: a path or a data: URL is needed"),
        ("image_url", "a\0.png", "it is neither a path nor a URL"),
        ("image_url", "A" * 5_000, "what is in Base64 begins with its type, as in data:audio/wav;base64,"),
        ("image_url", "data:image/png;base64,a$b", "what this data: URL holds is no Base64"),
        ("image_url", "data:image/png;base64,", "this data: URL holds nothing"),
        ("input_audio", "a.png", "is neither WAV nor MP3: convert it"),
        ("input_audio", "https://h.invalid/a.wav", "sound and files are sent, and not fetched: download it"),
        ("input_audio", "data:audio/flac;base64,AAAA", "sound of the type audio/flac is neither WAV nor MP3"),
        ("input_audio", "data:audio/wav,abc", "is not in Base64"),
        ("file", ".env", "'.env' is hidden, and hidden files are not sent"),
        ("file", "empty.pdf", "empty.pdf is empty"),
    ],
)
def test_what_can_not_be_sent_says_why(folder: Path, kind: str, given: str, message: str) -> None:
    if given == "A.png" and (folder / given).exists():
        pytest.skip("names of files have no case here")
    with pytest.raises(ValueError, match=re.escape(message)):
        Media().part(kind, given, [folder])


def test_what_is_too_large_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 2 * 2**20)
    with (folder / "large.wav").open("wb") as file:
        file.truncate(3 * 2**20)
    for given in ("large.wav", "data:audio/wav;base64," + "A" * 4 * 2**20):
        with pytest.raises(ValueError, match="it has 3 MiB, and at most 2 can be sent"):
            Media().part("input_audio", given, [folder])


def test_a_path_is_looked_for_in_the_folder_of_the_data_first(folder: Path) -> None:
    (folder / "sub" / "notes.txt").write_text("of the data")
    (part,) = (Media().part("file", name, [folder / "sub", folder]) for name in ["notes.txt"])
    assert b64decode(part["file"]["file_data"].partition(",")[2]) == b"of the data"
    assert Media().part("image_url", "a.png", [folder / "sub", folder])  # which is not there


def test_messages_are_filled_as_they_are_sent_and_kept_beside_what_is_kept_of_them(folder: Path) -> None:
    media, known = Media(), set[str]()
    messages = [{"role": "user", "content": [media.part("file", "long.mp3", [folder])]}]
    (part,) = media.filled(messages)[0]["content"]
    assert b64decode(part["file"]["file_data"].partition(",")[2]) == MP3
    assert [*media.contents(messages, known)] == [(held(MP3)[7:], "application/octet-stream", base64(MP3))]
    assert [*media.contents(messages, known)] == []
    assert known == {held(MP3)[7:]}


def test_messages_that_hold_nothing_are_the_same_ones() -> None:
    messages = [{"role": "user", "content": "sha256:" + "0" * 64}]
    assert Media().filled(messages) is messages


def test_a_file_that_changed_after_it_was_read_is_told(folder: Path) -> None:
    media = Media()
    messages = [{"role": "user", "content": [media.part("file", "long.mp3", [folder])]}]
    (folder / "long.mp3").write_bytes(MP3 + b"x")
    with pytest.raises(MediaChanged, match=r"long\.mp3 changed while it was used"):
        media.filled(messages)
    (folder / "long.mp3").unlink()
    with pytest.raises(MediaChanged, match=r"long\.mp3 can't be read: No such file"):
        [*media.contents(messages, set())]
