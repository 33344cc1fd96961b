"""JSON Lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from themis_core import DatasetQuerySpec, DatasetSpec, Row, SpecError, shown_path
from themis_plugin_files.base import FileLoader
from themis_plugin_files.pushdown import ruled_out, wanted_texts
from themis_plugin_files.reading import lines, utf8
from themis_plugin_files.strict_json import DECODER, check_depth, problem, type_name

__all__ = ["JsonlLoader"]


class JsonlLoader(FileLoader):
    """Reads JSON Lines: one JSON object per line, in UTF-8; blank lines are skipped."""

    def read(self, path: Path, dataset: DatasetSpec, query: DatasetQuerySpec) -> Iterator[Row]:
        name, wanted, decode = shown_path(path), wanted_texts(dataset, query), DECODER.decode
        for number, line in lines(path):
            if line.isspace():
                continue
            text = utf8(line.rstrip(), path, number)
            try:
                data = decode(text)
                check_depth(data, line.count(b"{") + line.count(b"["))
            except (ValueError, RecursionError) as error:
                raise SpecError(_explained(error, line), path=name, line=number) from error
            if type(data) is not dict:
                raise SpecError(f"the row is {type_name(data)}, not an object", path=name, line=number)
            if not (wanted and ruled_out(data, wanted)):
                yield Row(data, f"{name}:{number}")


def _explained(error: Exception, line: bytes) -> str:
    message = problem(error)
    if line.strip() in (b"[", b"{"):
        message += "; a JSON document over several lines is read by files/json"
    return message
