"""Reads logs of Inspect: `.eval` archives, a sample at a time, and `.json` logs, which are in memory as a whole.

Format version 2, as `inspect_ai.log` writes it. Texts that a log keeps once, as `attachment://HASH`, are put back.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile, ZipInfo

from themis_core import SpecError, shown_path
from themis_plugin_interop.checks import (
    MOST_SAMPLES,
    Wrong,
    count,
    finite,
    json_object,
    list_of,
    object_of,
    optional_text,
    plain_object,
    text,
    told,
)
from themis_plugin_interop.inspect_steps import calls_of, checked, steps_from
from themis_plugin_interop.recordings import Log, Sample
from themis_rows import opened
from themis_secrets import without_secrets

__all__ = ["inspect_logs"]

_MOST_OF_LOG: Final = 512 * 2**20
"""Bytes that a log in JSON may have, which is in memory as a whole."""
_MOST: Final = 32 * 2**20
"""Bytes that one member of an archive may have, and what is put into one sample for its attachments."""
_RATIO: Final = 1000
"""By which an archive may be packed, if it holds more than one member could."""
_ZSTANDARD: Final = 93
_ENCRYPTED: Final = 1
_ATTACHMENT: Final = "attachment://"
_GRADES: Final = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""As `inspect_ai.scorer.value_to_float` reads them."""
_STOPS: Final = {"max_tokens": "length", "model_length": "length"}
_INPUT: Final = ("id", "input", "reference", "choices")
_USAGE: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cached_input_tokens": "input_tokens_cache_read",
    "cache_write_tokens": "input_tokens_cache_write",
}


def inspect_logs(paths: list[Path]) -> Iterator[Log]:
    """One log for each file; a folder stands for the logs in it. Raises SpecError that names the file."""
    for path in paths:
        found = (
            sorted(each for each in path.rglob("*") if each.suffix in (".eval", ".json")) if path.is_dir() else [path]
        )
        if not found:
            raise SpecError("no .eval or .json file is in this folder", path=shown_path(path))
        for file in found:
            yield _archive(file) if file.suffix == ".eval" else _document(file)


def _document(path: Path) -> Log:
    with opened(path) as stream:
        data = stream.read(_MOST_OF_LOG + 1)
    with told(path, "the log"):
        log = json_object(data, _MOST_OF_LOG)
        samples = list_of(log.get("samples"), "samples")
    return _log(path, log, _listed(samples, path))


def _listed(samples: list[Any], path: Path) -> Iterator[Sample]:
    for number, each in enumerate(samples):
        with told(path, f"samples[{number}]"):
            sample = _sample(each)
        yield sample


def _archive(path: Path) -> Log:
    with told(path, "the archive"):
        archive = ZipFile(path)
        members = archive.infolist()
        total = sum(each.file_size for each in members)
        if total > max(_MOST, path.stat().st_size * _RATIO):
            raise Wrong(f"unpacked it would have {total:,} bytes, over {_RATIO} times its size")
        names = {each.filename: each for each in members}
        head = next((names[each] for each in ("header.json", "_journal/start.json") if each in names), None)
        if head is None:
            raise Wrong("it is no log of Inspect: it has no header.json")
        header = json_object(_member(archive, head, path), _MOST)
    return _log(path, header, _members(archive, members, path))


def _members(archive: ZipFile, members: list[ZipInfo], path: Path) -> Iterator[Sample]:
    with archive:
        for each in members:
            if each.filename.startswith("samples/") and each.filename.endswith(".json"):
                with told(path, each.filename):
                    sample = _sample(json_object(_member(archive, each, path), _MOST))
                yield sample


def _log(path: Path, header: Mapping[str, Any], samples: Iterator[Sample]) -> Log:
    about = header.get("eval")
    if not isinstance(about, dict) or not isinstance(about.get("task"), str) or not isinstance(about.get("model"), str):
        raise SpecError("is no log of Inspect: it does not say task and model", path=shown_path(path))
    return Log(shown_path(path), about["task"], about["model"], samples)


def _member(archive: ZipFile, info: ZipInfo, path: Path) -> bytes:
    if info.file_size > _MOST:
        raise Wrong(f"it has more than {_MOST // 2**20} MiB")
    if info.flag_bits & _ENCRYPTED:
        raise Wrong("it is encrypted")
    if info.compress_type == _ZSTANDARD:
        return _unpacked(info, path)
    with archive.open(info) as stream:
        return stream.read(_MOST + 1)


def _unpacked(info: ZipInfo, path: Path) -> bytes:
    """What a member holds that is compressed by Zstandard, as Inspect does; `zipfile` reads it from Python 3.14 on."""
    try:
        import zstandard
    except ImportError as error:
        message = "its samples are compressed by Zstandard: pip install 'themis-plugin-interop[zstd]'"
        raise SpecError(message, path=shown_path(path)) from error
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # of a local header of 30 bytes, before the name and what is extra
        lengths = file.read(4)
        file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
        packed = BytesIO(file.read(info.compress_size))
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
            data = stream.read(_MOST + 1)
    except zstandard.ZstdError as error:
        raise BadZipFile(str(error)) from error
    if len(data) <= _MOST and zlib.crc32(data) != info.CRC:
        raise BadZipFile("its checksum is wrong: the file is damaged")
    return data


class _Attachments:
    """Texts that a sample keeps once."""

    def __init__(self, texts: Any) -> None:
        self._texts = {name: text(each, "an attachment") for name, each in object_of(texts, "attachments").items()}
        self._put = 0

    def whole(self, value: Any) -> Any:
        """The value with its attachments in their places."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self.whole(each) for name, each in value.items()}
        return [self.whole(each) for each in value] if isinstance(value, list) else value

    def text(self, value: str) -> str:
        if not value.startswith(_ATTACHMENT):
            return value
        found = self._texts.get(value.removeprefix(_ATTACHMENT), value)
        self._put += len(found)
        if self._put > _MOST:
            raise Wrong(f"with its attachments it has more than {_MOST // 2**20} MiB")
        return found


def _sample(value: Any) -> Sample:
    data = plain_object(value)
    if not isinstance(data.get("id"), str | int) or isinstance(data["id"], bool):
        raise Wrong("its id is no text and no whole number")
    attachments = _Attachments(data.get("attachments"))
    item: dict[str, Any] = {
        "input": _prompt(data.get("input"), attachments),
        "reference": attachments.whole(data.get("target")),
    }
    if choices := list_of(data.get("choices"), "choices"):
        item["choices"] = [attachments.text(text(each, "a choice")) for each in choices]
    metadata: dict[str, Any] = {}
    for name, each in object_of(data.get("metadata"), "metadata").items():
        _add(metadata, f"metadata_{name}" if name in _INPUT else name, attachments.whole(each))
    epoch = 1 if data.get("epoch") is None else count(data["epoch"], "epoch", 1, MOST_SAMPLES)
    return Sample(str(data["id"]), epoch - 1, item, metadata, _answer(data, attachments), _scores(data))


def _add(found: dict[str, Any], name: str, value: Any) -> None:
    if name in found:
        raise Wrong(f"it has {name!r} twice")
    found[name] = value


def _prompt(value: Any, attachments: _Attachments) -> str:
    if isinstance(value, str):
        return attachments.text(value)
    messages = [object_of(each, "a message of the input") for each in list_of(value, "input")]
    if not messages:
        raise Wrong("it has no input")
    texts = [(text(each.get("role", ""), "role"), _said(each, attachments)) for each in messages]
    return texts[0][1] if len(texts) == 1 else "\n\n".join(f"{role}: {said}" for role, said in texts)


def _calls(message: Mapping[str, Any], attachments: _Attachments) -> list[dict[str, Any]]:
    return calls_of({"tool_calls": attachments.whole(message.get("tool_calls"))})


def _said(message: Mapping[str, Any], attachments: _Attachments) -> str:
    """What a message says, and which tools it calls."""
    calls = [each["function"] for each in _calls(message, attachments)]
    told = [f"[calls {each['name']} {each['arguments']}]" for each in calls]
    return "\n".join(filter(None, [_text(message.get("content"), attachments), *told]))


def _answer(data: Mapping[str, Any], attachments: _Attachments) -> dict[str, Any]:
    output = object_of(data.get("output"), "output")
    choice = object_of(next(iter(list_of(output.get("choices"), "output.choices")), None), "output.choices[0]")
    content = object_of(choice.get("message"), "message").get("content")
    usage = object_of(output.get("usage"), "usage")
    asked = data.get("input")
    steps = steps_from(data.get("events"), data.get("messages"), len(asked) if isinstance(asked, list) else 1)
    stop = optional_text(choice.get("stop_reason"), "stop_reason") or ""
    broken = optional_text(object_of(data.get("error"), "error").get("message"), "error.message")
    error = broken or optional_text(output.get("error"), "output.error")
    said = attachments.text(optional_text(output.get("completion"), "completion") or "")
    counts = {ours: usage.get(theirs) for ours, theirs in _USAGE.items()}
    return {
        "output": said or _text(content, attachments),
        "finish_reason": _STOPS.get(stop, stop) or None,
        "reasoning": _text(content, attachments, "reasoning") or None,
        "error": without_secrets(error) if error else None,
        "tool_calls": _calls(object_of(choice.get("message"), "message"), attachments) or None,
        "steps": checked(attachments.whole(steps)) or None,
        **{name: None if each is None else count(each, name) for name, each in counts.items()},
    }


def _text(content: Any, attachments: _Attachments, kind: str = "text") -> str:
    if isinstance(content, str):
        return attachments.text(content) if kind == "text" else ""
    parts = [object_of(each, "a part of the content") for each in list_of(content, "content")]
    texts = [optional_text(each.get(kind), kind) or "" for each in parts if each.get("type") == kind]
    return "".join(map(attachments.text, texts))


def _scores(data: Mapping[str, Any]) -> dict[str, float | None]:
    if data.get("error"):
        return {}  # there is no answer that they could be of
    found: dict[str, float | None] = {}
    for name, score in object_of(data.get("scores"), "scores").items():
        value = object_of(score, f"score {name!r}").get("value")
        if isinstance(value, dict):
            for part, each in value.items():
                _add(found, f"{name}.{part}", _number(each))
        else:
            _add(found, name, _number(value))
    return found


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        graded = _GRADES.get(value, _GRADES.get(value.lower()))
        if graded is not None:
            return graded
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return finite(value)
