"""Reads logs of Inspect: `.eval` archives, a sample at a time, and `.json` logs, which are in memory as a whole.

Format version 2, as `inspect_ai.log` writes it. Texts that a log keeps once, as `attachment://HASH`, are put back.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any, Final, cast
from zipfile import BadZipFile, ZipFile, ZipInfo

from themis_core import SpecError, shown_path
from themis_plugin_interop.recordings import Log, Sample
from themis_rows import NAN_IS_NULL, check_depth, opened, problem
from themis_secrets import without_secrets

__all__ = ["inspect_logs"]

_MOST: Final = 512 * 2**20
"""Bytes that one sample, or a log in JSON, may have."""
_ZSTANDARD: Final = 93
_ATTACHMENT: Final = "attachment://"
_GRADES: Final = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""As `inspect_ai.scorer.value_to_float` reads them."""
_STOPS: Final = {"max_tokens": "length", "model_length": "length"}
_INPUT: Final = ("id", "input", "reference", "choices")


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
        log = _decoded(stream.read(_MOST + 1), path, "the log")
    return _log(path, log, map(_checked, [path] * len(log.get("samples") or ()), log.get("samples") or ()))


def _archive(path: Path) -> Log:
    try:
        archive = ZipFile(path)
    except (OSError, BadZipFile) as error:
        raise SpecError(f"can't be read as a log of Inspect: {error}", path=shown_path(path)) from error
    names = set(archive.namelist())
    head = next((each for each in ("header.json", "_journal/start.json") if each in names), None)
    if head is None:
        raise SpecError("is no log of Inspect: it has no header.json", path=shown_path(path))
    return _log(path, _decoded(_member(archive, head, path), path, head), _members(archive, path))


def _members(archive: ZipFile, path: Path) -> Iterator[Any]:
    with archive:
        for name in archive.namelist():
            if name.startswith("samples/") and name.endswith(".json"):
                yield _decoded(_member(archive, name, path), path, name)


def _log(path: Path, header: Mapping[str, Any], samples: Iterator[Any]) -> Log:
    about = header.get("eval")
    if not isinstance(about, dict) or not isinstance(about.get("task"), str) or not isinstance(about.get("model"), str):
        raise SpecError("is no log of Inspect: it does not say task and model", path=shown_path(path))
    return Log(shown_path(path), about["task"], about["model"], (_sample(each, path) for each in samples))


def _member(archive: ZipFile, name: str, path: Path) -> bytes:
    info = archive.getinfo(name)
    try:
        if info.compress_type == _ZSTANDARD:
            return _unpacked(info, path)
        with archive.open(info) as stream:
            return stream.read(_MOST + 1)
    except (OSError, BadZipFile, zlib.error) as error:
        raise SpecError(f"{name} can't be read: {error}", path=shown_path(path)) from error


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


def _decoded(data: bytes, path: Path, what: str) -> dict[str, Any]:
    if len(data) > _MOST:
        raise SpecError(f"{what} has more than {_MOST // 2**20} MiB", path=shown_path(path))
    try:
        text = data.decode()
        value = NAN_IS_NULL.decode(text)
        check_depth(value, text.count("{") + text.count("["))
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{what}: {problem(error)}", path=shown_path(path)) from error
    return cast(dict[str, Any], _checked(path, value))


def _checked(path: Path, value: Any) -> Any:
    if not isinstance(value, dict):
        raise SpecError("a sample, or the log, is no object", path=shown_path(path))
    return value


def _sample(data: Mapping[str, Any], path: Path) -> Sample:
    if "id" not in data or "input" not in data:
        raise SpecError("a sample has no id or no input", path=shown_path(path))
    attachments = data.get("attachments") or {}
    item: dict[str, Any] = {
        "input": _prompt(data["input"], attachments),
        "reference": _whole(data.get("target"), attachments),
    }
    if data.get("choices"):
        item["choices"] = data["choices"]
    metadata = {
        f"metadata_{name}" if name in _INPUT else name: _whole(value, attachments)
        for name, value in (data.get("metadata") or {}).items()
    }
    return Sample(
        str(data["id"]), int(data.get("epoch") or 1) - 1, item, metadata, _answer(data, attachments), _scores(data)
    )


def _prompt(value: Any, attachments: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return str(_whole(value, attachments))
    texts = [(each.get("role", ""), _text(each.get("content"), attachments)) for each in value]
    return texts[0][1] if len(texts) == 1 else "\n\n".join(f"{role}: {text}" for role, text in texts)


def _answer(data: Mapping[str, Any], attachments: Mapping[str, str]) -> dict[str, Any]:
    output = data.get("output") or {}
    choice: Mapping[str, Any] = next(iter(output.get("choices") or ()), {})
    content = (choice.get("message") or {}).get("content")
    usage = output.get("usage") or {}
    stop = choice.get("stop_reason") or ""
    error = (data.get("error") or {}).get("message") or output.get("error")
    return {
        "output": output.get("completion") or _text(content, attachments),
        "finish_reason": _STOPS.get(stop, stop) or None,
        "reasoning": _text(content, attachments, "reasoning") or None,
        "error": without_secrets(error) if error else None,
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "reasoning_tokens": usage.get("reasoning_tokens"),
        "cached_input_tokens": usage.get("input_tokens_cache_read"),
        "cache_write_tokens": usage.get("input_tokens_cache_write"),
    }


def _text(content: Any, attachments: Mapping[str, str], kind: str = "text") -> str:
    if isinstance(content, str):
        return str(_whole(content, attachments)) if kind == "text" else ""
    parts = [each.get(kind) or "" for each in content or () if isinstance(each, dict) and each.get("type") == kind]
    return "".join(str(_whole(part, attachments)) for part in parts)


def _whole(value: Any, attachments: Mapping[str, str]) -> Any:
    """The value with its attachments in their places."""
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        return attachments.get(value.removeprefix(_ATTACHMENT), value)
    if isinstance(value, dict):
        return {name: _whole(each, attachments) for name, each in value.items()}
    return [_whole(each, attachments) for each in value] if isinstance(value, list) else value


def _scores(data: Mapping[str, Any]) -> dict[str, float | None]:
    if data.get("error"):
        return {}  # there is no answer that they could be of
    found: dict[str, float | None] = {}
    for name, score in (data.get("scores") or {}).items():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, dict):
            found |= {f"{name}.{part}": _number(each) for part, each in value.items()}
        else:
            found[name] = _number(value)
    return found


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        graded = _GRADES.get(value, _GRADES.get(value.lower()))
        if graded is not None:
            return graded
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) and isfinite(value) else None
