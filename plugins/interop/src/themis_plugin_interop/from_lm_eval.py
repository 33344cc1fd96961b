"""Reads samples of lm-evaluation-harness: `samples_TASK_DATE.jsonl`, a row at a time.

A row is one item and one filter; all filters have the same answers. The model is said by `results_*.json` beside them,
or by the folder. Also read are files of earlier 0.4 versions, whose `arguments` are lists, and whose metrics are not
named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, Final

from themis_core import SpecError, shown_path
from themis_plugin_interop.recordings import Log, Sample
from themis_rows import NAN_IS_NULL, json_rows, jsonl_rows

__all__ = ["lm_eval_logs"]

_NO_METRIC: Final = frozenset(
    {
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash"),
    }
)


def lm_eval_logs(paths: list[Path]) -> Iterator[Log]:
    """One log for each file; a folder stands for the sample files in it. Raises SpecError that names file and line."""
    for path in paths:
        found = sorted(path.rglob("samples_*.json*")) if path.is_dir() else [path]
        if not found:
            raise SpecError(
                "no samples_*.jsonl is in this folder: run lm_eval with --log_samples", path=shown_path(path)
            )
        for file in found:
            name = file.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json")
            task = name.removeprefix("samples_").rpartition("_")[0] or name
            yield Log(shown_path(file), task, _model(file), _samples(file))


def _model(file: Path) -> str:
    for results in sorted(file.parent.glob("results_*.json")):
        with suppress(OSError, ValueError):
            name = json.loads(results.read_text("utf-8")).get("model_name")
            if isinstance(name, str) and name:
                return name
    return file.absolute().parent.name.replace("__", "/")


def _samples(file: Path) -> Iterator[Sample]:
    rows = json_rows if file.suffix == ".json" else jsonl_rows
    seen: set[str] = set()
    for line, row in rows(file, decoder=NAN_IS_NULL):
        try:
            yield from _of_row(row, seen)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            message = f"is no sample of lm_eval ({type(error).__name__}: {error})"
            raise SpecError(message, path=shown_path(file), line=line) from error


def _of_row(row: Mapping[str, Any], seen: set[str]) -> Iterator[Sample]:
    item_id = str(row["doc_id"])
    requests = list(_requests(row["arguments"]))
    item = {"input": _prompt(requests[0][0]), "reference": row.get("target"), "doc": row["doc"]}
    scores = {_name(row, metric): value for metric, value in _values(row)}
    answers = _answers(row["resps"], requests)
    for number, answer in enumerate(answers):
        yield Sample(item_id, number, item, {}, None if item_id in seen else {"output": answer}, scores)
    seen.add(item_id)


def _requests(arguments: Any) -> Iterator[list[Any]]:
    """The arguments of each request: the prompt, and settings or the text whose likelihood was asked for."""
    if isinstance(arguments, dict):
        yield from (list(each.values()) for each in arguments.values())
    else:
        yield from arguments


def _prompt(text: str) -> str:
    """The prompt; messages of a chat, which are written as JSON, as paragraphs."""
    if not text.startswith('[{"role"'):
        return text
    try:
        return "\n\n".join(f"{each['role']}: {each['content']}" for each in json.loads(text))
    except (ValueError, KeyError, TypeError):
        return text


def _answers(resps: Any, requests: list[list[Any]]) -> list[str]:
    """Each answer to the item; where likelihoods were asked for, the likeliest text."""
    first = resps[0][0]
    if isinstance(first, str):
        return [each for each in resps[0] if isinstance(each, str)]
    likelihoods = [float(each[0][0] if isinstance(each[0], list) else each[0]) for each in resps]
    best = requests[likelihoods.index(max(likelihoods))]
    return [best[1].strip() if len(best) > 1 and isinstance(best[1], str) else ""]


def _values(row: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for name in row.get("metrics") or [each for each in row if each not in _NO_METRIC]:
        value = row.get(name)
        if isinstance(value, int | float) and isfinite(value):
            yield name, float(value)
        elif value is None:
            yield name, None


def _name(row: Mapping[str, Any], metric: str) -> str:
    chosen = row.get("filter")
    return metric if chosen in (None, "none") else f"{metric}.{chosen}"
