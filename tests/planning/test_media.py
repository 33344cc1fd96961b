"""What prompts hold beside their text, in the requests that are made of them."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from themis_core import Item, PromptVariantSpec, Request, SpecError
from themis_core.planning import Prompt, media_items, with_media
from themis_core.reading import Place
from themis_media import Media, MediaChanged

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


def prompt(folder: Path, media: Media, part: dict[str, Any]) -> Prompt:
    spec = PromptVariantSpec.model_validate({"id": "p", "messages": [{"role": "user", "content": [part]}]})
    return Prompt(spec, (), Place(loc=("prompt",)), media=media, folders=[folder])


ITEM = Item("7", {"file": "a.png", "title": "paper 7"})


def test_a_request_is_sent_whole_and_known_by_what_is_in_the_file(folder: Path) -> None:
    media = Media()
    made = prompt(folder, media, {"type": "image_url", "image_url": "{{ item.file }}", "detail": "low"})
    messages = made.asks(ITEM).messages
    request = Request("m", messages)
    whole = {"url": f"data:image/png;base64,{base64(PNG)}", "detail": "low"}
    assert with_media(media, request).messages[0]["content"] == [{"type": "image_url", "image_url": whole}]
    assert request.messages == messages
    (item,) = media_items(media, messages, set())
    assert (item.id, item.digest) == (held(PNG), held(PNG)[7:])
    assert item.fields == {"media_type": "image/png", "data": base64(PNG)}
    assert len(str(messages)) < 250
    (folder / "copy.png").write_bytes(PNG)
    assert made.asks(Item("7", {"file": "copy.png"})).messages == messages
    (folder / "copy.png").write_bytes(PNG + b"1")
    assert made.asks(Item("7", {"file": "copy.png"})).messages != messages


def test_a_file_that_changed_after_it_was_planned_is_not_sent(folder: Path) -> None:
    media = Media()
    request = Request("m", prompt(folder, media, {"type": "file", "file": "long.mp3"}).asks(ITEM).messages)
    (folder / "long.mp3").write_bytes(MP3 + b"x")
    with pytest.raises(MediaChanged, match=r"long\.mp3 changed while it was used"):
        with_media(media, request)
    (folder / "long.mp3").unlink()
    with pytest.raises(MediaChanged, match=r"long\.mp3 can't be read: No such file"):
        with_media(media, request)


def test_a_file_has_the_name_that_its_template_says(folder: Path) -> None:
    made = prompt(folder, Media(), {"type": "file", "file": "notes.txt", "filename": "{{ item.title }}.txt"})
    (part,) = made.asks(ITEM).messages[0]["content"]
    assert part["file"]["filename"] == "paper 7.txt"


def test_a_missing_file_names_the_place_and_the_item(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        prompt(folder, Media(), {"type": "file", "file": "{{ item.title }}"}).asks(ITEM)
    assert str(caught.value).startswith("prompt.messages[0].content[0]: no such file 'paper 7' in ")
    assert str(caught.value).endswith("(item '7')")


def test_a_message_says_whose_calls_of_tools_it_shows(folder: Path) -> None:
    message = {
        "role": "assistant",
        "tool_calls": [
            {"id": "c1", "name": "look_up", "arguments": {"what": ["{{ item.title }}"], "most": 3}},
            {"id": "c2", "name": "look_up", "arguments": '{"what": {{ item.file | tojson }}}'},
        ],
    }
    spec = PromptVariantSpec.model_validate({"id": "p", "messages": [message]})
    assert spec.needs == {"tools"}
    called = [
        {"id": name, "type": "function", "function": {"name": "look_up", "arguments": arguments}}
        for name, arguments in (("c1", '{"what": ["paper 7"], "most": 3}'), ("c2", '{"what": "a.png"}'))
    ]
    assert Prompt(spec, (), Place()).asks(ITEM).messages == [{"role": "assistant", "content": "", "tool_calls": called}]
